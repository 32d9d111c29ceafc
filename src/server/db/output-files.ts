import { create } from "@bufbuild/protobuf";
import { MillraceError } from "../../errors.js";
import type { StoredFile } from "../../gen/millrace/v1/storage_pb.js";
import { type Member, type TrialOutput, TrialOutputSchema } from "../../gen/millrace/v1/trial_pb.js";
import type { Reader, Transaction } from "./database.js";

/**
 * Records what a commit says of the files that it names.
 *
 * Throws `failed_precondition` if a file has shrunk, or its bytes changed without their number.
 */
export async function recordOutputs(
	tx: Transaction,
	member: Member,
	part: number,
	finish: boolean,
	files: readonly StoredFile[],
): Promise<void> {
	if (files.length === 0) {
		return;
	}
	const rows = JSON.stringify(files.map((file) => [file.path, Number(file.sizeBytes), file.sha256]));
	const changed = await tx.get<{ path: string; old: number; new: number }>(
		`SELECT old.path, old.size_bytes AS old, new.value ->> 1 AS new
		FROM json_each(?) AS new JOIN output_files AS old ON old.trial_id = ? AND old.path = new.value ->> 0
		WHERE new.value ->> 1 < old.size_bytes OR (new.value ->> 1 = old.size_bytes AND new.value ->> 2 <> old.sha256)
		LIMIT 1`,
		rows,
		member.trialId,
	);
	if (changed !== undefined) {
		throw new MillraceError(
			"failed_precondition",
			`output file ${changed.path} had ${changed.old} committed bytes and now has ${changed.new}, or others; ` +
				"committed bytes must not change: append to the file, or write another one",
		);
	}
	await tx.run(
		`INSERT INTO output_files (trial_id, path, finish, trial_run_id, rank, part, size_bytes, sha256)
		SELECT ?, value ->> 0, ?, ?, ?, ?, value ->> 1, value ->> 2 FROM json_each(?) WHERE true
		ON CONFLICT DO UPDATE SET size_bytes = excluded.size_bytes, sha256 = excluded.sha256`,
		member.trialId,
		finish,
		member.trialRunId,
		member.rank,
		part,
		rows,
	);
}

/** Forgets what the finish commits of runs said that were not completed. */
export async function dropUnfinishedOutputs(tx: Transaction, trialId: number): Promise<void> {
	await tx.run(
		`DELETE FROM output_files WHERE trial_id = ?1 AND finish = 1 AND trial_run_id IN (
			SELECT trial_run_id FROM trial_runs WHERE trial_id = ?1 AND state <> 'COMPLETED'
		)`,
		trialId,
	);
}

/** Forgets what the finish commits of runs before `trialRunId` said: another finish takes their place. */
export async function dropEarlierFinish(tx: Transaction, trialId: number, trialRunId: number): Promise<void> {
	await tx.run("DELETE FROM output_files WHERE trial_id = ? AND finish = 1 AND trial_run_id < ?", trialId, trialRunId);
}

/** Returns a trial's committed output files after the path `after`, in the order of their paths. */
export async function listOutputs(db: Reader, trialId: number, after: string, limit: number): Promise<TrialOutput[]> {
	const rows = await db.all<{ path: string; size_bytes: number; sha256: string; rank: number; trial_run_id: number }>(
		// The columns beside max() are those of the row that has the maximum: SQLite says so.
		`SELECT path, max(finish), size_bytes, sha256, rank, trial_run_id FROM output_files AS file
		WHERE trial_id = ? AND path > ? AND (finish = 0 OR EXISTS (
			SELECT 1 FROM trial_runs AS run
			WHERE run.trial_id = file.trial_id AND run.trial_run_id = file.trial_run_id AND run.state = 'COMPLETED'
		))
		GROUP BY path ORDER BY path LIMIT ?`,
		trialId,
		after,
		limit,
	);
	return rows.map((row) =>
		create(TrialOutputSchema, {
			file: { path: row.path, sizeBytes: BigInt(row.size_bytes), sha256: row.sha256 },
			rank: row.rank,
			trialRunId: row.trial_run_id,
		}),
	);
}
