import { readFileSync } from "node:fs";
import type { ProcessEnd } from "./process-group.js";

/**
 * Says in a sentence what probably ended a worker; undefined where its own words have to do.
 *
 * @param wasOomKill Whether the kernel has killed a process of this control group for its memory meanwhile.
 */
export function explainEnd(
	{ code, signal }: ProcessEnd,
	lastLines: readonly string[],
	wasOomKill: boolean,
): string | undefined {
	if (signal === "SIGKILL" || code === 137) {
		return wasOomKill
			? "The kernel killed it because the memory limit was reached: use smaller batches or fewer workers."
			: "It was killed from outside, probably for its memory by the kernel, else by somebody's kill -9.";
	}
	const isHeap = lastLines.some((line) => /heap out of memory|Allocation failed/.test(line));
	if ((signal === "SIGABRT" || code === 134) && isHeap) {
		return "It ran out of JavaScript heap: use smaller batches, or NODE_OPTIONS=--max-old-space-size=<MiB>.";
	}
	return undefined;
}

/** Returns how many processes of this control group the kernel has killed for their memory; 0 if it does not tell. */
export function oomKillCount(): number {
	try {
		const group = /^0::(.*)$/m.exec(readFileSync("/proc/self/cgroup", "latin1"))?.[1] ?? "";
		const events = readFileSync(`/sys/fs/cgroup${group === "/" ? "" : group}/memory.events`, "latin1");
		return Number(/^oom_kill (\d+)$/m.exec(events)?.[1] ?? 0);
	} catch {
		return 0;
	}
}
