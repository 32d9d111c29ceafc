import type { Connection } from "../sdk/connection.js";
import { narrowestBar, progressBar } from "./progress-bar.js";
import { ProgressMeter } from "./progress-line.js";
import type { StatusLine } from "./status-line.js";

/** How often the server is asked, in milliseconds. */
const pollMs = 500;

/** How often a line is written where there is no terminal, in milliseconds. */
const lineMs = 5_000;

/** How often a line that has not changed is written again where there is no terminal, in milliseconds. */
const unchangedLineMs = 60_000;

/** How long the server may be silent before it is worth a word, in milliseconds. */
const silenceMs = 5_000;

/** Times that tests shorten, in milliseconds. */
export interface ProgressTimes {
	/** How often a line is written where there is no terminal. Default 5,000. */
	readonly lineMs?: number;
	/** How often one that has not changed is written again. Default 60,000. */
	readonly unchangedLineMs?: number;
	/** How long the server may be silent before that is said. Default 5,000. */
	readonly silenceMs?: number;
}

/**
 * Shows the progress of a trial: as a bar on a terminal, else as a line now and then. Says once when the server
 * is away, and once when it is back.
 */
export class ProgressDisplay {
	readonly #connection: Connection;
	readonly #trialId: number;
	readonly #status: StatusLine;
	readonly #writeLine: (line: string) => void;
	readonly #times: Required<ProgressTimes>;
	readonly #meter = new ProgressMeter();
	readonly #stopped = new AbortController();
	readonly #timer: NodeJS.Timeout;
	#trialRunId = 0;
	#lastLine: string | undefined;
	#lastLineMs = Date.now();
	#recordsDone = -1;
	/** When the number of records changed, or the run started. */
	#lastCommitMs = Date.now();
	#answerMs = Date.now();
	#isAway = false;
	#asking: Promise<void> | undefined;

	/** Starts to ask the server. `writeLine` takes the lines where there is no terminal, and what is to be said. */
	constructor(
		connection: Connection,
		trialId: number,
		status: StatusLine,
		writeLine: (line: string) => void,
		times: ProgressTimes = {},
	) {
		this.#times = { lineMs, unchangedLineMs, silenceMs, ...times };
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
		this.#lastCommitMs = Date.now();
		void this.#ask();
	}

	/** Shows the end of the current run, as far as it is known, and removes the bar. */
	async endRun(): Promise<void> {
		await this.#asking;
		await this.#ask();
		this.#status.show("");
		if (this.#meter.text !== undefined) {
			this.#printLine();
		}
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
			// A record that failed and was skipped is behind us too.
			const recordsDone = Number((trial?.recordsDone ?? 0n) + (trial?.recordsFailed ?? 0n));
			this.#meter.add({
				timeMs: Date.now(),
				recordsDone,
				recordsTotal: Number(trial?.recordsTotal ?? 0),
			});
			this.#noteAnswer(recordsDone);
		} catch {
			this.#noteSilence();
			return;
		}
		if (this.#trialRunId === 0) {
			return;
		}
		if (this.#status.isShown) {
			this.#status.show(this.#bar());
			return;
		}
		const isChanged = this.#line() !== this.#lastLine;
		const patienceMs = isChanged ? this.#times.lineMs : this.#times.unchangedLineMs;
		if (Date.now() - this.#lastLineMs >= patienceMs) {
			this.#printLine(!isChanged);
		}
	}

	#noteAnswer(recordsDone: number): void {
		this.#answerMs = Date.now();
		if (recordsDone !== this.#recordsDone) {
			this.#recordsDone = recordsDone;
			this.#lastCommitMs = this.#answerMs;
		}
		if (this.#isAway) {
			this.#isAway = false;
			this.#writeLine(`the server at ${this.#connection.address} answers again`);
		}
	}

	/** A look that is missed is not worth a word, if the next one finds the server. */
	#noteSilence(): void {
		const isClosed = this.#stopped.signal.aborted;
		if (isClosed || this.#isAway || Date.now() - this.#answerMs < this.#times.silenceMs) {
			return;
		}
		this.#isAway = true;
		const { address, channel } = this.#connection;
		const until = new Date(this.#answerMs + channel.retryMs).toTimeString().slice(0, 8);
		this.#writeLine(`no answer from the server at ${address}; trying again until ${until}`);
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
		return `${this.#label()} [${progressBar(this.#meter.fraction, room)}] ${text}`;
	}

	/** Writes the line, if it is another than the last one, or `again`. */
	#printLine(again = false): void {
		const line = this.#line();
		const idleSeconds = Math.floor((Date.now() - this.#lastCommitMs) / 1_000);
		this.#lastLineMs = Date.now();
		if (line !== this.#lastLine) {
			this.#lastLine = line;
			this.#writeLine(line);
		} else if (again) {
			this.#writeLine(`${line}, no commit for ${idleSeconds} s`);
		}
	}

	#line(): string {
		return `${this.#label()}: ${this.#meter.text ?? "starting"}`;
	}

	#label(): string {
		return `trial ${this.#trialId} run ${this.#trialRunId}`;
	}
}
