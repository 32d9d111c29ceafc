import { readdirSync, readFileSync } from "node:fs";

/** A process of this machine. */
export interface FoundProcess {
	readonly pid: number;
	readonly command: string;
	readonly environment: string;
}

/** Finds the processes whose command and environment fit. Linux only: it reads /proc. */
export function findProcesses(fits: (found: FoundProcess) => boolean): FoundProcess[] {
	return readdirSync("/proc")
		.filter((name) => /^\d+$/.test(name))
		.flatMap((name) => {
			try {
				const read = (file: string) => readFileSync(`/proc/${name}/${file}`, "utf8").replaceAll("\0", "\n");
				const found = { pid: Number(name), command: read("cmdline"), environment: read("environ") };
				return found.command !== "" && fits(found) ? [found] : [];
			} catch {
				// It has ended meanwhile, or belongs to someone else.
				return [];
			}
		});
}
