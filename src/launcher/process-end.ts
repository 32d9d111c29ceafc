import { exitCodes, signalExitCode } from "../exit-codes.js";
import type { ProcessEnd } from "./process-group.js";

/** Returns the exit code with which one passes on how a process ended: one above 127 becomes 1. */
export function exitCodeOf(end: ProcessEnd): number {
	if (end.signal !== null) {
		return signalExitCode(end.signal);
	}
	const code = end.code ?? exitCodes.failed;
	return code > 127 ? exitCodes.failed : code;
}

/** Tells whether a process did not do what it was started for. A preempted one did. */
export function isFailure(end: ProcessEnd): boolean {
	return end.code !== exitCodes.done && end.code !== exitCodes.preempted;
}

/** Says how a process ended, in words: "exit code 3" or "SIGKILL". */
export function describeEnd(end: ProcessEnd): string {
	return end.signal ?? `exit code ${end.code}`;
}
