import { durationText } from "../duration-text.js";
import type { TrialActivity } from "../sdk/index.js";
import { type ActivityDisplay, silenceMs } from "./activity-display.js";
import type { Terminal } from "./terminal.js";
import { watchLine } from "./watch-line.js";

/** How often a line is written unless it is said, in seconds. */
const usualInterval = 5;

/** How often a line that has not changed is written again, in milliseconds. */
const unchangedMs = 60_000;

/**
 * Shows a trial as a line every few seconds, for a file or a pipe, and at once where its state or that of its run has
 * changed. Says on stderr that the server does not answer, and that it does again.
 */
export class WatchLines implements ActivityDisplay {
	readonly #terminal: Terminal;
	readonly #intervalMs: number;
	#timer: NodeJS.Timeout | undefined;
	#line = "";
	#states = "";
	#writtenAt = Number.NEGATIVE_INFINITY;
	#isAway = false;

	/** @param interval The time between two lines, in seconds. Default 5. */
	constructor(terminal: Terminal, interval = usualInterval) {
		this.#terminal = terminal;
		this.#intervalMs = interval * 1_000;
	}

	async show(activity: TrialActivity, isLast: boolean): Promise<void> {
		this.#noteAnswer();
		const { state, run } = activity;
		const states = `${state} ${run?.trialRunId} ${run?.state}`;
		const line = watchLine(activity);
		const patienceMs = line === this.#line ? unchangedMs : this.#intervalMs;
		const { now } = this.#terminal;
		if (isLast || states !== this.#states || now - this.#writtenAt >= patienceMs) {
			this.#states = states;
			this.#line = line;
			this.#writtenAt = now;
			await this.#terminal.print(`${line}\n`);
		}
	}

	close(): void {
		clearTimeout(this.#timer);
	}

	#noteAnswer(): void {
		clearTimeout(this.#timer);
		this.#timer = setTimeout(() => {
			this.#isAway = true;
			this.#terminal.say(`no answer from the server for ${durationText(silenceMs / 1_000)}; trying again`);
		}, silenceMs);
		if (this.#isAway) {
			this.#isAway = false;
			this.#terminal.say("the server answers again");
		}
	}
}
