import { constants } from "node:os";
import { exitCodes, signalExitCode } from "../exit-codes.js";
import type { ProcessEnd } from "./process-group.js";

/**
 * Returns the exit code with which one passes on how a process ended. One above 127 becomes 1, unless it is
 * 128 and a signal's number: so shells and wrappers such as npx tell which signal ended what they ran.
 */
export function exitCodeOf(end: ProcessEnd): number {
	if (end.signal !== null) {
		return signalExitCode(end.signal);
	}
	const code = end.code ?? exitCodes.failed;
	return code > 127 && signalOf(code) === undefined ? exitCodes.failed : code;
}

/** Tells whether a process did not do what it was started for. A preempted one did. */
export function isFailure(end: ProcessEnd): boolean {
	return end.code !== exitCodes.done && end.code !== exitCodes.preempted;
}

/** Says how a process ended, in words: "exit code 3", "exit code 137 (SIGKILL)" or "SIGKILL". */
export function describeEnd(end: ProcessEnd): string {
	return end.signal ?? `exit code ${describeExitCode(end.code)}`;
}

/** Returns an exit code as its reader needs it: "3", or "137 (SIGKILL)" where it stands for a signal. */
export function describeExitCode(code: number | null): string {
	const signal = code === null ? undefined : signalOf(code);
	return signal === undefined ? String(code) : `${code} (${signal})`;
}

function signalOf(code: number): string | undefined {
	return Object.entries(constants.signals).find(([, number]) => code === 128 + number)?.[0];
}
