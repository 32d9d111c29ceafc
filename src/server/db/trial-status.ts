import { MillraceError } from "../../errors.js";
import type { Transaction } from "./database.js";
import { closedRunText } from "./members.js";
import { getRunRow, isOpen } from "./trial-runs.js";

/**
 * Records how far a trial is, from 0 to 1, which its own program says. That of batch processing follows from its records.
 *
 * Throws `not_found` if there is no such run, `failed_precondition` if it is closed.
 */
export async function reportProgress(
	tx: Transaction,
	trialId: number,
	trialRunId: number,
	progress: number,
): Promise<void> {
	await assertOpen(tx, trialId, trialRunId);
	await tx.run("UPDATE trials SET reported_progress = ? WHERE id = ?", progress, trialId);
}

/**
 * Records what a trial's program says that it does.
 *
 * Throws `not_found` if there is no such run, `failed_precondition` if it is closed.
 */
export async function setStatus(tx: Transaction, trialId: number, trialRunId: number, status: string): Promise<void> {
	await assertOpen(tx, trialId, trialRunId);
	await tx.run("UPDATE trials SET status = ? WHERE id = ?", status, trialId);
}

async function assertOpen(tx: Transaction, trialId: number, trialRunId: number): Promise<void> {
	const run = await getRunRow(tx, trialId, trialRunId);
	if (!isOpen(run)) {
		throw new MillraceError("failed_precondition", closedRunText(trialId, run));
	}
}
