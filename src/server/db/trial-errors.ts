import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { MillraceError } from "../../errors.js";
import type { RecordFailure } from "../../gen/millrace/v1/progress_pb.js";
import { type Member, type Trial, type TrialError, TrialErrorSchema } from "../../gen/millrace/v1/trial_pb.js";
import { addFailedAlone } from "./alone-records.js";
import type { Reader, Transaction } from "./database.js";
import type { Range } from "./done-ranges.js";
import { optionsOf } from "./process-options.js";
import { findOpenRun, type TrialRunRow } from "./trial-runs.js";
import { getTrial, getTrialRow, setTrialState, type TrialRow } from "./trials.js";

/**
 * Records the dead letters of a commit, whose records are left and neither done nor among the dead letters.
 *
 * Throws `failed_precondition` if the workers of the run do not skip errors, `resource_exhausted` if more records
 * of the trial failed than they permit.
 */
export async function recordFailures(
	tx: Transaction,
	member: Member,
	run: TrialRunRow,
	trial: TrialRow,
	failures: readonly RecordFailure[],
): Promise<void> {
	const last = failures.at(-1);
	if (last === undefined) {
		return;
	}
	const options = optionsOf(run);
	if (options?.on_error !== "SKIP") {
		throw new MillraceError(
			"failed_precondition",
			`record ${last.record} failed, but the workers of run ${run.trial_run_id} of trial ${trial.id} do not skip ` +
				"errors; begin with the policy SKIP",
		);
	}
	const count = trial.records_failed + failures.length;
	if (options.max_errors !== null && count > options.max_errors) {
		throw new MillraceError(
			"resource_exhausted",
			`${count} ${count === 1 ? "record" : "records"} of trial ${trial.id} failed, and maxErrors permits ` +
				`${options.max_errors === 0 ? "none" : options.max_errors}; ` +
				`the last: record ${last.record}: ${last.error}`,
		);
	}
	await tx.run(
		`INSERT INTO trial_errors (trial_id, record, trial_run_id, rank, error, stack, time)
		SELECT ?, value ->> 0, ?, ?, value ->> 1, value ->> 2, ? FROM json_each(?)`,
		member.trialId,
		member.trialRunId,
		member.rank,
		tx.now,
		JSON.stringify(failures.map(({ record, error, stack }) => [Number(record), error, stack])),
	);
	await tx.run("UPDATE trials SET records_failed = ? WHERE id = ?", count, trial.id);
}

/** Returns the first dead letter in `ranges`, or undefined. */
export async function findFailed(
	db: Reader,
	trialId: number,
	ranges: readonly Range[],
): Promise<{ record: number; trialRunId: number } | undefined> {
	return db.get(
		`SELECT failed.record, failed.trial_run_id AS trialRunId FROM json_each(?) AS asked
		JOIN trial_errors AS failed ON failed.trial_id = ?
			AND failed.record >= asked.value ->> 0 AND failed.record < asked.value ->> 1
		ORDER BY failed.record LIMIT 1`,
		JSON.stringify(ranges),
		trialId,
	);
}

/** Returns a trial's dead letters after the record `after`, in the order of their records. */
export async function listErrors(db: Reader, trialId: number, after: number, limit: number): Promise<TrialError[]> {
	const rows = await db.all<{
		record: number;
		rank: number;
		trial_run_id: number;
		error: string;
		stack: string;
		time: number;
	}>("SELECT * FROM trial_errors WHERE trial_id = ? AND record > ? ORDER BY record LIMIT ?", trialId, after, limit);
	return rows.map((row) =>
		create(TrialErrorSchema, {
			record: BigInt(row.record),
			rank: row.rank,
			trialRunId: row.trial_run_id,
			error: row.error,
			stack: row.stack,
			time: timestampFromMs(row.time),
		}),
	);
}

/**
 * Removes a trial's dead letters, so that its next run processes these records again, each alone. A trial that had some is
 * ACTIVE then; what an earlier finish of it has reported stays until the next one takes its place.
 *
 * Throws `failed_precondition` if a run is open, or the trial is canceled.
 */
export async function retryErrors(tx: Transaction, trialId: number): Promise<{ trial: Trial; removed: number }> {
	const { state } = await getTrialRow(tx, trialId);
	if (state === "CANCELED") {
		throw new MillraceError(
			"failed_precondition",
			`trial ${trialId} is canceled, which is final; create another trial`,
		);
	}
	const open = await findOpenRun(tx, trialId);
	if (open !== undefined) {
		throw new MillraceError(
			"failed_precondition",
			`run ${open.trial_run_id} of trial ${trialId} is open; wait until it has ended, or pause the trial`,
		);
	}
	await addFailedAlone(tx, trialId);
	const removed = await tx.run("DELETE FROM trial_errors WHERE trial_id = ?", trialId);
	if (removed > 0) {
		await tx.run("UPDATE trials SET records_failed = 0 WHERE id = ?", trialId);
		await setTrialState(tx, trialId, "ACTIVE");
	}
	return { trial: await getTrial(tx, trialId), removed };
}
