import { constants } from "node:os";

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
