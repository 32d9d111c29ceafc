import { stepNames } from "../../src/steps.js";
import { Random } from "./random.js";
import type { FaultKind, FaultPlan, LegKind, LegPlan, RoundPlan } from "./round-plan.js";

/** The lease of the rounds' servers: short, so that a frozen worker does not hold up a round for long. */
export const leaseSeconds = 3;

const userSteps = ["setup", "batch", "checkpoint-start", "on-finish"] as const;
const commitSteps = stepNames.worker.filter((step) => step.startsWith("commit.") || step.startsWith("barrier."));
const endSteps = stepNames.worker.filter((step) => step.startsWith("end."));

/** What may happen where the server is a process of its own, the likelier the more often it is named. */
const standaloneKinds: readonly FaultKind[] = [
	...["worker-kill", "worker-kill", "worker-throw", "worker-exit", "worker-memory"],
	...["launcher-kill", "run-kill", "run-term", "pause", "pause"],
	...["server-kill", "server-kill", "server-die", "server-die", "server-term"],
	...["net-cut", "net-cut", "net-silence", "worker-freeze", "worker-freeze"],
] as const;

/** An embedded server is started again by `millrace run`, and reached without a proxy. */
const embeddedKinds = standaloneKinds.filter((kind) => kind !== "server-die" && !kind.startsWith("net-"));

/** How long those last of which nobody is told: shorter and longer than the lease. */
const lastingMs: Readonly<Partial<Record<FaultKind, readonly number[]>>> = {
	"worker-freeze": [0.4, 1.5, 3].map((leases) => Math.round(leases * leaseSeconds * 1_000)),
	"net-silence": [0.4, 1.5, 3].map((leases) => Math.round(leases * leaseSeconds * 1_000)),
	// A worker whose connection broke has a second to come back.
	"net-cut": [200, 600, 2_000, 6_000],
};

/** Draws the plan of a round. The same seed and number always give the same. */
export function planRound(seed: string, round: number): RoundPlan {
	const random = new Random(`${seed}/${round}`);
	const server = random.chance(0.75) ? "standalone" : "embedded";
	const records = random.integer(100, 500);
	const faults = planFaults(random, server === "standalone" ? standaloneKinds : embeddedKinds);
	const needsOwner = server === "embedded" && faults.some(({ kind }) => kind.startsWith("server-"));
	const badRecords = random.chance(0.3) ? planBadRecords(random, records) : [];
	const batchSize = badRecords.some((record) => badRecords.includes(record + 1)) ? random.integer(3, 10) : undefined;
	return {
		name: `round ${round}`,
		again: `--seed ${seed} --first ${round} --rounds 1`,
		server,
		leaseSeconds,
		data: { records, factor: random.integer(1_000, 9_000), offset: random.integer(0, 999), modulus: 1_009 },
		badRecords,
		writes: random.pick(["batch", "commit"]),
		files: random.pick(["growing", "new"]),
		usesModel: true,
		// What is processed again record by record commits without the other workers.
		gathers: badRecords.length === 0 && random.chance(0.5),
		legs: Array.from({ length: random.integer(1, 4) }, () => planLeg(random, needsOwner, records, batchSize)),
		faults,
	};
}

/** Draws records that fail: some, none of them neighbours, or two neighbours that are not the last records. */
function planBadRecords(random: Random, records: number): number[] {
	if (random.chance(0.5)) {
		const first = random.integer(0, records - 4);
		return [first, first + 1];
	}
	const bad = Array.from({ length: random.integer(1, 5) }, () => 2 * random.integer(0, Math.floor(records / 2) - 1));
	return [...new Set(bad)].sort((a, b) => a - b);
}

/**
 * Draws a leg. Where there are neighbours that fail, all legs have one batch size, so that each batch with them has a
 * third record: cut anew, the rest of a range could be the two alone, of which none is at fault.
 */
function planLeg(random: Random, needsOwner: boolean, records: number, batchSize: number | undefined): LegPlan {
	return {
		kind: needsOwner ? "run" : random.pick<LegKind>(["run", "run", "run", "launch", "bare"]),
		workers: random.integer(1, 4),
		options: Array.from({ length: random.integer(1, 3) }, () => ({
			batchSize: batchSize ?? random.integer(3, Math.ceil(records / 10)),
			checkpointInterval: random.integer(1, 4),
		})),
	};
}

/** Draws one to four faults, the later ones further on in the data. */
function planFaults(random: Random, kinds: readonly FaultKind[]): FaultPlan[] {
	const count = random.pick([1, 1, 1, 2, 2, 2, 3, 4]);
	const progress = Array.from({ length: count }, () => 0.9 * random.next()).sort((a, b) => a - b);
	return progress.map((part) => planFault(random, random.pick(kinds), part));
}

function planFault(random: Random, kind: FaultKind, progress: number): FaultPlan {
	const rank = random.integer(0, 3);
	const occurrence = random.integer(1, 2);
	const ms = random.pick(lastingMs[kind] ?? [0, 200, 600, 1_500, 2_500]);
	if (kind === "server-die") {
		const step = random.pick(stepNames.server);
		return { kind, rank, step, occurrence: step.includes("commit") ? random.integer(1, 8) : 1, progress: 0, ms };
	}
	const [step, atEnd] = planStep(random, kind);
	return { kind, rank, step, occurrence: atEnd ? 1 : occurrence, progress: atEnd ? 0 : progress, ms };
}

/** Returns a step, and whether a worker is at it once in a run. */
function planStep(random: Random, kind: FaultKind): [step: FaultPlan["step"], once: boolean] {
	if (random.chance(0.5)) {
		return ["batch", false];
	}
	if (kind === "worker-throw") {
		// Only the user's code throws.
		const step = random.pick(userSteps);
		return [step, step === "setup" || step === "on-finish"];
	}
	return random.chance(0.6) ? [random.pick(commitSteps), false] : [random.pick([...endSteps, "setup"] as const), true];
}
