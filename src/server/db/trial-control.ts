import { MillraceError } from "../../errors.js";
import { TrialRunState } from "../../gen/millrace/v1/trial_pb.js";
import type { Transaction } from "./database.js";
import { closeRun, findOpenRun, getRunRow, isOpen, type TrialRunRow } from "./trial-runs.js";
import { getTrialRow, setTrialState } from "./trials.js";

/** Asks an active trial to pause: at once without an open run, else at its next commit. One that is to be canceled stays so. */
export async function pauseTrial(tx: Transaction, trialId: number): Promise<void> {
	const trial = await getTrialRow(tx, trialId);
	if (trial.state === "ACTIVE") {
		if ((await findOpenRun(tx, trialId)) === undefined) {
			await setTrialState(tx, trialId, "PAUSED");
		} else {
			await tx.run("UPDATE trials SET pause_requested = 1 WHERE id = ?", trialId);
		}
	}
}

/** Asks a trial that has not ended to stop for good: at once without an open run, else at its next commit. */
export async function cancelTrial(tx: Transaction, trialId: number): Promise<void> {
	const trial = await getTrialRow(tx, trialId);
	if (trial.state === "ACTIVE" || trial.state === "PAUSED") {
		if ((await findOpenRun(tx, trialId)) === undefined) {
			await setTrialState(tx, trialId, "CANCELED");
		} else {
			await tx.run("UPDATE trials SET cancel_requested = 1 WHERE id = ?", trialId);
		}
	}
}

/**
 * Lets a trial go on, and withdraws a request to pause.
 *
 * Throws `failed_precondition` if it is completed or canceled, or is to be canceled, or its experiment is archived.
 */
export async function activateTrial(tx: Transaction, trialId: number): Promise<void> {
	const trial = await getTrialRow(tx, trialId);
	if (trial.state === "COMPLETED" || trial.state === "CANCELED") {
		throw illegalTransition(trialId, trial.state, "it has ended, which is final; create another trial");
	}
	if (trial.cancel_requested !== 0) {
		throw illegalTransition(trialId, "STOPPING_CANCELED", "it is canceled with its next commit; create another trial");
	}
	await setTrialState(tx, trialId, "ACTIVE");
}

/** The text is Determined's. */
function illegalTransition(trialId: number, from: string, whatToDo: string): MillraceError {
	return new MillraceError(
		"failed_precondition",
		`illegal transition ${from} -> ACTIVE for trial ${trialId}: ${whatToDo}`,
	);
}

/**
 * Asks the workers of an open run to stop at their next commit, and leaves the trial as it is. The reason of the
 * first request is the one that is kept.
 *
 * Throws `not_found` if there is no such run.
 */
export async function preemptRun(
	tx: Transaction,
	trialId: number,
	trialRunId: number,
	reason: string,
): Promise<TrialRunRow> {
	const run = await getRunRow(tx, trialId, trialRunId);
	if (!isOpen(run) || run.preempt_requested !== 0) {
		return run;
	}
	await tx.run(
		"UPDATE trial_runs SET preempt_requested = 1, preempt_reason = ? WHERE trial_id = ? AND trial_run_id = ?",
		reason,
		trialId,
		trialRunId,
	);
	return getRunRow(tx, trialId, trialRunId);
}

/** Ends a trial that has not ended. Returns the id of the run that was closed with it, or 0. */
export async function killTrial(tx: Transaction, trialId: number, reason: string): Promise<number> {
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
	return closedRunId;
}
