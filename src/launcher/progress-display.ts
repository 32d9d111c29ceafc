import type { Connection } from "../sdk/connection.js";
import { ProgressMeter } from "./progress-line.js";
import type { StatusLine } from "./status-line.js";

/** How often the server is asked, in milliseconds. */
const pollMs = 500;

/** How often a line is written where there is no terminal, in milliseconds. */
const lineMs = 5_000;

const widestBar = 24;
const narrowestBar = 4;

/** Shows the progress of a trial: as a bar on a terminal, else as a line now and then. */
export class ProgressDisplay {
	readonly #connection: Connection;
	readonly #trialId: number;
	readonly #status: StatusLine;
	readonly #writeLine: (line: string) => void;
	readonly #meter = new ProgressMeter();
	readonly #stopped = new AbortController();
	readonly #timer: NodeJS.Timeout;
	#trialRunId = 0;
	#lastLine: string | undefined;
	#lastLineMs = Date.now();
	#asking: Promise<void> | undefined;

	/** Starts to ask the server. `writeLine` takes the lines where there is no terminal. */
	constructor(connection: Connection, trialId: number, status: StatusLine, writeLine: (line: string) => void) {
		this.#connection = connection;
		this.#trialId = trialId;
		this.#status = status;
		this.#writeLine = writeLine;
		this.#timer = setInterval(() => void this.#ask(), pollMs);
	}

	/** Shows the progress of this run from now on. */
	startRun(trialRunId: number): void {
		this.#trialRunId = trialRunId;
		this.#meter.reset();
		void this.#ask();
	}

	/** Shows the end of the current run, as far as it is known, and removes the bar. */
	async endRun(): Promise<void> {
		await this.#asking;
		await this.#ask();
		this.#status.show("");
		this.#printLine();
	}

	/** Stops asking. */
	close(): void {
		clearInterval(this.#timer);
		this.#stopped.abort();
		this.#status.show("");
	}

	#ask(): Promise<void> {
		this.#asking ??= this.#askOnce().finally(() => {
			this.#asking = undefined;
		});
		return this.#asking;
	}

	async #askOnce(): Promise<void> {
		try {
			const { trial } = await this.#connection.trials.getTrial(
				{ trialId: this.#trialId },
				{ retryMs: 0, signal: AbortSignal.any([this.#stopped.signal, AbortSignal.timeout(2_000)]) },
			);
			this.#meter.add({
				timeMs: Date.now(),
				recordsDone: Number(trial?.recordsDone ?? 0),
				recordsTotal: Number(trial?.recordsTotal ?? 0),
			});
		} catch {
			// A display that misses a look is not worth a word; the next one follows.
			return;
		}
		if (this.#status.isShown) {
			this.#status.show(this.#bar());
		} else if (Date.now() - this.#lastLineMs >= lineMs) {
			this.#printLine();
		}
	}

	#bar(): string {
		const { text } = this.#meter;
		if (text === undefined) {
			return `${this.#label()}: starting`;
		}
		// The words matter more than the bar, which gets the room that they leave.
		const room = this.#status.width - `${this.#label()} [] ${text}`.length;
		if (room < narrowestBar) {
			return `${this.#label()} ${text}`;
		}
		const width = Math.min(room, widestBar);
		const full = Math.round(this.#meter.fraction * width);
		return `${this.#label()} [${"█".repeat(full)}${"░".repeat(width - full)}] ${text}`;
	}

	#printLine(): void {
		const { text } = this.#meter;
		this.#lastLineMs = Date.now();
		const line = `${this.#label()}: ${text}`;
		if (text !== undefined && line !== this.#lastLine) {
			this.#lastLine = line;
			this.#writeLine(line);
		}
	}

	#label(): string {
		return `trial ${this.#trialId} run ${this.#trialRunId}`;
	}
}
