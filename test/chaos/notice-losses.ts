import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Notice } from "./notice.js";
import { leaseSeconds } from "./plan-round.js";
import { Random } from "./random.js";
import { playRound } from "./round.js";
import type { FaultKind, FaultPlan, RoundPlan } from "./round-plan.js";
import { undisturbed } from "./step-plans.js";

/** How long it may take until all others know of it, in milliseconds: at the median, and at the worst. */
const limits: Readonly<Partial<Record<FaultKind, { readonly median: number; readonly worst: number }>>> = {
	"worker-kill": { median: 2_000, worst: 3_000 },
	"worker-freeze": { median: (leaseSeconds + 1) * 1_000, worst: (leaseSeconds + 1) * 1_000 },
};

/** How many workers are lost in one trial, one after the other. */
const lossesPerTrial = 10;
const limitMs = 240_000;

/**
 * Kills one of three workers `kills` times, and freezes one for a fifth as many. Returns how long the others took to
 * notice each, and what went wrong beside.
 */
export async function noticeLosses(seed: string, kills: number): Promise<{ notices: Notice[]; problems: string[] }> {
	const random = new Random(seed);
	const notices: Notice[] = [];
	const problems: string[] = [];
	const kinds: FaultKind[] = [
		...repeated("worker-kill" as const, kills),
		...repeated("worker-freeze" as const, Math.ceil(kills / 5)),
	];
	for (let first = 0; first < kinds.length; first += lossesPerTrial) {
		const plan = planLosses(random, kinds.slice(first, first + lossesPerTrial));
		const directory = mkdtempSync(join(tmpdir(), "millrace-chaos-"));
		const result = await playRound(plan, directory, limitMs);
		notices.push(...result.notices);
		problems.push(...result.problems);
		if (result.notices.length < plan.faults.length) {
			problems.push(`${result.notices.length} of ${plan.faults.length} losses were noticed; logs: ${directory}`);
		} else if (result.problems.length === 0) {
			rmSync(directory, { recursive: true, maxRetries: 5 });
		}
	}
	return { notices, problems: [...problems, ...tooLate(notices)] };
}

function planLosses(random: Random, kinds: readonly FaultKind[]): RoundPlan {
	const faults = kinds.map((kind, index): FaultPlan => {
		const step = random.pick(["batch", "commit.begin", "commit.answered", "barrier.enter"] as const);
		// Never woken: what a worker that comes back does is another question.
		const ms = limitMs;
		return { kind, rank: random.integer(0, 2), step, occurrence: 1, progress: index / (kinds.length + 1), ms };
	});
	const legs = [{ kind: "bare" as const, workers: 3, options: [{ batchSize: 10, checkpointInterval: 2 }] }];
	const data = { ...undisturbed.data, records: 3_000 };
	return { ...undisturbed, name: "losses", leaseSeconds, writes: "commit", data, legs, faults };
}

function tooLate(notices: readonly Notice[]): string[] {
	return Object.entries(limits).flatMap(([kind, { median, worst }]) => {
		const times = notices.filter((notice) => notice.kind === kind).map(({ ms }) => ms);
		times.sort((a, b) => a - b);
		const middle = times[Math.floor((times.length - 1) / 2)] ?? 0;
		return [
			...(middle > median ? [`${kind} was noticed after ${middle} ms at the median, not ${median}`] : []),
			...((times.at(-1) ?? 0) > worst
				? [`${kind} was noticed after ${times.at(-1)} ms at the worst, not ${worst}`]
				: []),
		];
	});
}

function repeated<T>(value: T, count: number): T[] {
	return Array.from({ length: count }, () => value);
}
