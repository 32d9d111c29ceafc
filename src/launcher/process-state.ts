import { readFileSync } from "node:fs";

/**
 * Tells whether a process lives. On Linux one that is dead, though nobody has asked after it, as in a container
 * without an init, does not.
 */
export function isLivingProcess(pid: number): boolean {
	try {
		process.kill(pid, 0);
	} catch (error) {
		return (error as NodeJS.ErrnoException).code === "EPERM";
	}
	return process.platform !== "linux" || livingGroupOf(pid) !== undefined;
}

/** Returns the process group of a living process; undefined if it is dead. Linux only: it reads /proc. */
export function livingGroupOf(pid: number): number | undefined {
	try {
		const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
		const [state, , group] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
		return state === "Z" || state === "X" ? undefined : Number(group);
	} catch {
		return undefined;
	}
}
