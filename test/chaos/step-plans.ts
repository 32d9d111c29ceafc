import { type StepName, stepNames } from "../../src/steps.js";
import type { FaultKind, FaultPlan, RoundPlan } from "./round-plan.js";

/** Steps that only rank 0 is at. */
const chiefSteps: readonly StepName[] = ["end.partials-fetched", "end.reduced"];

/** A trial of two workers with six commits each, which nothing disturbs. */
export const undisturbed: RoundPlan = {
	name: "undisturbed",
	again: "--steps",
	server: "standalone",
	leaseSeconds: 5,
	data: { records: 60, factor: 17, offset: 5, modulus: 1_009 },
	badRecords: [],
	writes: "batch",
	files: "growing",
	usesModel: false,
	gathers: false,
	legs: [2, 1].map((workers) => ({ kind: "bare", workers, options: [{ batchSize: 5, checkpointInterval: 1 }] })),
	faults: [],
};

/**
 * Plans a round for each step and each way to die there: a worker that kills itself, a worker that waits there while
 * the server is killed, and a server that kills itself; at the first time, and at a later one where there is one.
 */
export function planSteps(): RoundPlan[] {
	const atWorker = stepNames.worker.flatMap((step, index) =>
		occurrencesOf(step).flatMap((occurrence) => [
			planStep("worker-kill", step, occurrence, index),
			planStep("server-kill", step, occurrence, index + 1),
		]),
	);
	const atServer = stepNames.server.flatMap((step) =>
		occurrencesOf(step).map((occurrence) => planStep("server-die", step, 2 * occurrence - 1, 0)),
	);
	return [...atWorker, ...atServer];
}

/** A step of the end comes once in a run. */
function occurrencesOf(step: StepName): readonly number[] {
	return step.startsWith("end.") || step.startsWith("server.finish") ? [1] : [1, 3];
}

function planStep(kind: FaultKind, step: StepName, occurrence: number, index: number): RoundPlan {
	const rank = chiefSteps.includes(step) ? 0 : index % 2;
	const fault: FaultPlan = { kind, rank, step, occurrence, progress: 0, ms: 0 };
	return { ...undisturbed, name: `${kind} at ${step}, time ${occurrence}`, faults: [fault] };
}
