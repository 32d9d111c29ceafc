import type { TrialActivity } from "../sdk/index.js";
import { type ActivityDisplay, silenceMs } from "./activity-display.js";
import { LiveScreen } from "./live-screen.js";
import type { Terminal } from "./terminal.js";
import { watchLine } from "./watch-line.js";
import { watchView } from "./watch-view.js";

/** How often it is drawn again while no answer comes, in milliseconds. */
const redrawMs = 1_000;

/** Shows a trial on a terminal, in place. What stays there in the end is one line that says how it ended. */
export class WatchScreen implements ActivityDisplay {
	readonly #terminal: Terminal;
	readonly #screen: LiveScreen;
	readonly #timer: NodeJS.Timeout;
	/** After how long the next activity is late, in milliseconds. */
	readonly #lateMs: number;
	#activity: TrialActivity | undefined;
	#cameAt = 0;

	/** @param interval The time between an activity and the question for the next one, in seconds. Default 1. */
	constructor(terminal: Terminal, interval = 1) {
		this.#terminal = terminal;
		this.#lateMs = interval * 1_000 + silenceMs;
		// A terminal that is gone sends a signal too.
		this.#screen = new LiveScreen(terminal, () => void this.#draw().catch(() => {}));
		this.#timer = setInterval(() => {
			if (this.#silentMs > 0) {
				this.#draw().catch(() => {});
			}
		}, redrawMs);
	}

	async show(activity: TrialActivity, isLast: boolean): Promise<void> {
		this.#activity = activity;
		this.#cameAt = this.#terminal.now;
		if (isLast) {
			this.close();
			await this.#terminal.print(`${watchLine(activity)}\n`);
		} else {
			await this.#draw();
		}
	}

	close(): void {
		clearInterval(this.#timer);
		this.#activity = undefined;
		this.#screen.close();
	}

	/** For how long the server has not answered; 0 if it may still do. */
	get #silentMs(): number {
		const sinceMs = this.#terminal.now - this.#cameAt;
		return sinceMs >= this.#lateMs ? sinceMs : 0;
	}

	async #draw(): Promise<void> {
		if (this.#activity !== undefined) {
			await this.#screen.draw(watchView(this.#activity, this.#terminal, this.#silentMs));
		}
	}
}
