import { setTimeout } from "node:timers/promises";
import { MillraceError } from "../errors.js";
import { assertKnownOptions } from "./assert-options.js";
import type { ExperimentState } from "./experiment.js";
import { shown } from "./shown.js";

/** Options of `experiment.wait` and `experiment.awaitFirstTrial`. */
export interface WaitOptions {
	/** The time between an answer of the server and the next question, in seconds. Default: 5. */
	readonly interval?: number | undefined;
}

/** What waiting needs from outside. */
export interface WaitClock {
	/** Tells the time in milliseconds. */
	now(): number;
	/** Waits for some milliseconds. */
	delay(ms: number): Promise<unknown>;
	/** Tells a person something, in a line. */
	say(line: string): void;
}

const systemClock: WaitClock = {
	now: () => performance.now(),
	delay: (ms) => setTimeout(ms),
	say: (line) => process.stderr.write(`${line}\n`),
};

/** After how long it is said that an experiment is paused, and then again each time, in milliseconds. */
const noticeMs = 60_000;

const ended: readonly ExperimentState[] = ["COMPLETED", "CANCELED", "ERROR"];

/** Asks for an experiment's state until it has ended, and returns the state. */
export async function waitForEnd(
	experimentId: number,
	reload: () => Promise<ExperimentState>,
	intervalMs: number,
	clock: WaitClock = systemClock,
): Promise<ExperimentState> {
	const start = clock.now();
	let lastNotice = start;
	for (;;) {
		const state = await reload();
		if (ended.includes(state)) {
			return state;
		}
		const now = clock.now();
		if (state !== "PAUSED") {
			lastNotice = now;
		} else if (now - lastNotice >= noticeMs) {
			lastNotice = now;
			const minutes = Math.floor((now - start) / 60_000);
			clock.say(`millrace: waiting for experiment ${experimentId}, which is paused; elapsed: ${minutes} min`);
		}
		await clock.delay(intervalMs);
	}
}

/** Asks for an experiment's first trial until there is one. */
export async function waitForTrial<T>(find: () => Promise<T | undefined>, intervalMs: number): Promise<T> {
	for (;;) {
		const trial = await find();
		if (trial !== undefined) {
			return trial;
		}
		await setTimeout(intervalMs);
	}
}

/** Returns the interval of a method's options in milliseconds. Throws `invalid_argument` if it is none. */
export function intervalMs(options: WaitOptions, method: string, seconds: number): number {
	assertKnownOptions(options, method, ["interval"]);
	const { interval = seconds } = options;
	// Timers take no more than 2^31 milliseconds.
	if (typeof interval !== "number" || !(interval > 0 && interval <= 2_000_000)) {
		throw new MillraceError(
			"invalid_argument",
			`interval is ${shown(interval)}; it must be a number of seconds, more than 0 and at most 2,000,000`,
		);
	}
	return interval * 1_000;
}
