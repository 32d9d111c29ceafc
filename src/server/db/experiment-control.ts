import type { Transaction } from "./database.js";
import { getExperiment } from "./experiments.js";
import { activateTrial, cancelTrial, killTrial, pauseTrial } from "./trial-control.js";
import { getTrialRow, type TrialRow } from "./trials.js";

/** Asks all active trials of an experiment to pause. */
export async function pauseExperiment(tx: Transaction, experimentId: number): Promise<void> {
	for (const id of await trialsIn(tx, experimentId, ["ACTIVE"])) {
		await pauseTrial(tx, id);
	}
}

/** Lets all trials of an experiment go on that are neither completed nor canceled, nor to be canceled. */
export async function activateExperiment(tx: Transaction, experimentId: number): Promise<void> {
	for (const id of await trialsIn(tx, experimentId, ["ACTIVE", "PAUSED", "ERROR"])) {
		if ((await getTrialRow(tx, id)).cancel_requested === 0) {
			await activateTrial(tx, id);
		}
	}
}

/** Asks all trials of an experiment that have not ended to stop for good. */
export async function cancelExperiment(tx: Transaction, experimentId: number): Promise<void> {
	for (const id of await trialsIn(tx, experimentId, ["ACTIVE", "PAUSED"])) {
		await cancelTrial(tx, id);
	}
}

/** Ends all trials of an experiment that have not ended. Returns the runs that were closed with them. */
export async function killExperiment(
	tx: Transaction,
	experimentId: number,
	reason: string,
): Promise<{ trialId: number; trialRunId: number }[]> {
	const closed = [];
	for (const trialId of await trialsIn(tx, experimentId, ["ACTIVE", "PAUSED"])) {
		const trialRunId = await killTrial(tx, trialId, reason);
		if (trialRunId > 0) {
			closed.push({ trialId, trialRunId });
		}
	}
	return closed;
}

/** Returns the ids of an experiment's trials in some states. Throws `not_found` if there is no such experiment. */
async function trialsIn(
	tx: Transaction,
	experimentId: number,
	states: readonly TrialRow["state"][],
): Promise<number[]> {
	await getExperiment(tx, experimentId);
	const rows = await tx.all<{ id: number }>(
		`SELECT id FROM trials WHERE experiment_id = ? AND state IN (${states.map(() => "?").join(", ")}) ORDER BY id`,
		experimentId,
		...states,
	);
	return rows.map(({ id }) => id);
}
