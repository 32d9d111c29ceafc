import { removeCheckpointFiles } from "./checkpoint-removals.js";
import type { Reader, Transaction } from "./database.js";
import { assertAllEnded, getExperimentRow } from "./experiments.js";
import { toStorage } from "./json-column.js";

/** The tables with rows of trials, in an order in which they can be deleted from. Checkpoints stay, as DELETED. */
export const trialTables = [
	"metric_reports",
	"trial_logs",
	"log_senders",
	"trial_sources",
	"trial_errors",
	"alone_records",
	"reducer_partials",
	"output_files",
	"done_ranges",
	"commits",
	"members",
	"trial_runs",
] as const;

/**
 * Deletes an experiment with all rows of its trials. Their output directories, and the files of their checkpoints, are
 * noted for removal from storage. The checkpoints stay, as DELETED and of no trial: trials of other experiments may be
 * linked to them. Returns their UUIDs.
 *
 * Throws `not_found` if there is no such experiment, `failed_precondition` if one of its trials may still run, or one of
 * its checkpoints is that of a model version.
 */
export async function deleteExperiment(tx: Transaction, experimentId: number): Promise<string[]> {
	await getExperimentRow(tx, experimentId);
	await assertAllEnded(tx, experimentId, "delete");
	const checkpoints = await tx.all<{ uuid: string }>(
		`SELECT uuid FROM checkpoints WHERE trial_id IN (SELECT id FROM trials WHERE experiment_id = ?)`,
		experimentId,
	);
	const uuids = checkpoints.map(({ uuid }) => uuid);
	await removeCheckpointFiles(tx, uuids, () => true, true);
	await tx.run(
		`UPDATE checkpoints SET trial_id = NULL, trial_run_id = 0
		WHERE trial_id IN (SELECT id FROM trials WHERE experiment_id = ?)`,
		experimentId,
	);
	await tx.run(
		"INSERT INTO output_removals (output_uuid, storage) SELECT output_uuid, storage FROM trials WHERE experiment_id = ?",
		experimentId,
	);
	for (const table of trialTables) {
		await tx.run(
			`DELETE FROM ${table} WHERE trial_id IN (SELECT id FROM trials WHERE experiment_id = ?)`,
			experimentId,
		);
	}
	await tx.run("DELETE FROM trials WHERE experiment_id = ?", experimentId);
	await tx.run("DELETE FROM experiments WHERE id = ?", experimentId);
	return uuids;
}

/** Returns the output directories that are to be removed from storage. */
export async function listOutputRemovals(db: Reader) {
	const rows = await db.all<{ output_uuid: string; storage: string }>(
		"SELECT output_uuid, storage FROM output_removals WHERE output_uuid > ''",
	);
	return rows.map(({ output_uuid: uuid, storage }) => ({ uuid, storage: toStorage(storage) }));
}

/** Takes note that an output directory was removed from storage. */
export async function forgetOutputRemoval(tx: Transaction, uuid: string): Promise<void> {
	await tx.run("DELETE FROM output_removals WHERE output_uuid = ?", uuid);
}
