import { MillraceError } from "../../errors.js";
import { type Trial, TrialRunState } from "../../gen/millrace/v1/trial_pb.js";
import type { Transaction } from "./database.js";
import { closeRun, findOpenRun } from "./trial-runs.js";
import { getTrial, getTrialRow, setTrialState } from "./trials.js";

/** Asks an active trial to pause: at once without an open run, else at its next commit. */
export async function pauseTrial(tx: Transaction, trialId: number): Promise<Trial> {
	const trial = await getTrialRow(tx, trialId);
	if (trial.state === "ACTIVE") {
		if ((await findOpenRun(tx, trialId)) === undefined) {
			await setTrialState(tx, trialId, "PAUSED");
		} else {
			await tx.run("UPDATE trials SET pause_requested = 1 WHERE id = ?", trialId);
		}
	}
	return getTrial(tx, trialId);
}

/**
 * Lets a trial go on.
 *
 * Throws `failed_precondition` if it is completed or canceled.
 */
export async function activateTrial(tx: Transaction, trialId: number): Promise<Trial> {
	const trial = await getTrialRow(tx, trialId);
	if (trial.state === "COMPLETED" || trial.state === "CANCELED") {
		throw new MillraceError(
			"failed_precondition",
			`trial ${trialId} is ${trial.state.toLowerCase()}, which is final; create another trial`,
		);
	}
	await setTrialState(tx, trialId, "ACTIVE");
	return getTrial(tx, trialId);
}

/** Ends a trial that has not ended. Returns the id of the run that was closed with it, or 0. */
export async function killTrial(
	tx: Transaction,
	trialId: number,
	reason: string,
): Promise<{ trial: Trial; closedRunId: number }> {
	const trial = await getTrialRow(tx, trialId);
	let closedRunId = 0;
	if (trial.state === "ACTIVE" || trial.state === "PAUSED") {
		const run = await findOpenRun(tx, trialId);
		if (run === undefined) {
			await setTrialState(tx, trialId, "CANCELED");
		} else {
			await closeRun(tx, trialId, run.trial_run_id, TrialRunState.KILLED, reason);
			closedRunId = run.trial_run_id;
		}
	}
	return { trial: await getTrial(tx, trialId), closedRunId };
}
