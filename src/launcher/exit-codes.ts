import { constants } from "node:os";
import type { ProcessEnd } from "./process-group.js";

/** What the exit code of a Millrace command, and of a worker, means. */
export const exitCodes = {
	/** All is done. */
	done: 0,
	/** The user's code failed, or something unexpected happened. */
	failed: 1,
	/** The command was used wrongly; nothing was started. */
	usage: 2,
	/** The trial was preempted, and can go on later. */
	preempted: 75,
	/** The parent process went away. */
	parentLost: 129,
} as const;

/** Returns the exit code that shells give to a process killed by a signal: 128 and its number. */
export function signalExitCode(signal: NodeJS.Signals): number {
	return 128 + constants.signals[signal];
}

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
