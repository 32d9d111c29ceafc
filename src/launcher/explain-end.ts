import { readFileSync } from "node:fs";
import { totalmem } from "node:os";
import type { ProcessEnd } from "./process-group.js";

/** From which part of the memory on it is worth a word that a killed worker held so much. */
const nearLimit = 0.8;

/** What is known of the memory of the workers of this node. */
export interface MemoryFacts {
	/** Whether the kernel has killed a process of this control group for its memory meanwhile. */
	readonly wasOomKill: boolean;
	/** The most that all workers together have held, in bytes. */
	readonly peakBytes: number;
	/** How much there is for them, in bytes. */
	readonly limitBytes: number;
}

/** Why the thread that watches a worker ended it, in its words. */
export interface OwnEnd {
	readonly reason: string;
	/** Whether its run had ended before. */
	readonly isAborted: boolean;
}

/** Says in a sentence what probably ended a worker; undefined where its own words have to do. */
export function explainEnd(
	{ code, signal }: ProcessEnd,
	lastLines: readonly string[],
	{ wasOomKill, peakBytes, limitBytes }: MemoryFacts,
): string | undefined {
	if (signal === "SIGKILL" || code === 137) {
		const own = findOwnEnd({ code, signal }, lastLines);
		if (own !== undefined) {
			return `It ended itself: ${own.reason}.`;
		}
		if (wasOomKill) {
			return "The kernel killed it because the memory limit was reached: use smaller batches or fewer workers.";
		}
		return peakBytes >= nearLimit * limitBytes
			? "It was killed from outside by SIGKILL, probably for its memory by the kernel."
			: "It was killed from outside by SIGKILL.";
	}
	const isHeap = lastLines.some((line) => /heap out of memory|Allocation failed/.test(line));
	if ((signal === "SIGABRT" || code === 134) && isHeap) {
		return "It ran out of JavaScript heap: use smaller batches, or NODE_OPTIONS=--max-old-space-size=<MiB>.";
	}
	return undefined;
}

/** Returns why a worker killed itself with SIGKILL, as one does whose main thread is stuck; undefined if it did not. */
export function findOwnEnd({ code, signal }: ProcessEnd, lastLines: readonly string[]): OwnEnd | undefined {
	if (signal !== "SIGKILL" && code !== 137) {
		return undefined;
	}
	const ownEnd =
		/^millrace: rank \d+: (.* took longer than stepTimeout \S+ s|.* has not noticed for \S+ s)(; killed)?$/;
	for (const line of lastLines.toReversed()) {
		const [, reason, killed] = ownEnd.exec(line) ?? [];
		if (reason !== undefined) {
			return { reason, isAborted: killed !== undefined };
		}
	}
	return undefined;
}

/** Returns how much memory there is for this process and those that it starts, in bytes. */
export function memoryLimit(): number {
	// 0, or far more than there is, where no limit is set.
	return Math.min(process.constrainedMemory() || Number.POSITIVE_INFINITY, totalmem());
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
