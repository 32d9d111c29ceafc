import { Worker } from "node:worker_threads";
import { threadEntry } from "../thread-entry.js";
import type { LogThreadData, LogThreadMessage, PrintedLines } from "./log-thread.js";
import type { OutputName } from "./tee-output.js";

/** How many lines may be under way before others are dropped: more than wait in the thread's own queue. */
const mostLines = 500_000;

/** How many lines go to the thread together, where they are printed in one go. */
const mostGathered = 500;

/** How long the end waits for a server that takes nothing, in milliseconds; twelve times that in any case. */
const patienceMs = 5_000;

/**
 * Sends lines from a thread of its own, which is started with the first line: they go on while user code blocks this
 * one, and the last ones before a crash too. It does not keep the process alive.
 */
export class LogSender {
	readonly #data: LogThreadData;
	readonly #settled = new Int32Array(new SharedArrayBuffer(4));
	#thread: Worker | undefined;
	#isGone = false;
	#gathered = noLines();
	#posted = 0;
	#dropped = 0;

	constructor(place: Omit<LogThreadData, "settled">) {
		this.#data = { ...place, settled: this.#settled };
	}

	/** Sends lines that were printed now. */
	send(stream: OutputName | "error", texts: readonly string[]): void {
		if (this.#isGone) {
			return;
		}
		if (this.#underWay(Atomics.load(this.#settled, 0)) > mostLines) {
			this.#dropped += texts.length;
			return;
		}
		if (this.#gathered.texts.length === 0) {
			queueMicrotask(() => this.#post());
		}
		const time = Date.now();
		for (const text of texts) {
			this.#gathered.texts.push(text);
			this.#gathered.times.push(time);
			this.#gathered.streams.push(stream);
		}
		if (this.#gathered.texts.length >= mostGathered) {
			this.#post();
		}
	}

	/** Blocks this thread, which is about to end, until the lines are stored. */
	wait(): void {
		this.#post();
		this.#say({ kind: "flush" });
		const end = Date.now() + 2 * patienceMs;
		for (let left = patienceMs; this.#thread !== undefined && !this.#isGone && left > 0; ) {
			const settled = Atomics.load(this.#settled, 0);
			if (this.#underWay(settled) <= 0) {
				return;
			}
			const isTaken = Atomics.wait(this.#settled, 0, settled, left) !== "timed-out";
			left = isTaken ? Math.min(patienceMs, end - Date.now()) : 0;
		}
	}

	/** Ends the thread when the lines are stored. */
	async close(): Promise<void> {
		this.#post();
		const thread = this.#thread;
		if (thread === undefined || this.#isGone) {
			return;
		}
		// Who waits for it must not find the process at its end.
		thread.ref();
		this.#say({ kind: "end", patienceMs });
		await new Promise<void>((resolve) => {
			const timer = setTimeout(() => void thread.terminate(), 13 * patienceMs);
			thread.once("exit", () => {
				clearTimeout(timer);
				resolve();
			});
		});
	}

	#start(): Worker {
		// The parent's --import and --require are for the user's script; in the thread they would only cost time.
		const thread = new Worker(threadEntry("log-thread", import.meta.url), { workerData: this.#data, execArgv: [] });
		thread.unref();
		// A worker without a log goes on.
		thread.on("error", () => {});
		thread.once("exit", () => {
			this.#isGone = true;
		});
		return thread;
	}

	/** Hands what is gathered to the thread. */
	#post(): void {
		const lines = this.#gathered;
		if (lines.texts.length === 0 || this.#isGone) {
			return;
		}
		this.#gathered = noLines();
		this.#thread ??= this.#start();
		this.#posted += lines.texts.length;
		this.#say({ kind: "lines", lines, dropped: this.#dropped });
		this.#dropped = 0;
	}

	#say(message: LogThreadMessage): void {
		this.#thread?.postMessage(message);
	}

	/** How many lines are neither stored nor given up. */
	#underWay(settled: number): number {
		// Both count on beyond what 32 bits hold.
		return (this.#posted - settled) | 0;
	}
}

function noLines(): PrintedLines {
	return { texts: [], times: [], streams: [] };
}
