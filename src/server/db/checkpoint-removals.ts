import { MillraceError } from "../../errors.js";
import type { Storage } from "../../gen/millrace/v1/storage_pb.js";
import type { Reader, Transaction } from "./database.js";
import { toStorage } from "./json-column.js";

/** Which of a checkpoint's files to remove, by its UUID and the path. */
export type IsDoomed = (uuid: string, path: string) => boolean;

/** What is to be removed from storage of one checkpoint. */
export interface Removal {
	readonly checkpointId: number;
	readonly uuid: string;
	readonly storage: Storage;
	/** The paths; `undefined` for the whole directory. */
	readonly paths: readonly string[] | undefined;
}

interface DoomedRow {
	readonly id: number;
	readonly uuid: string;
	readonly state: string;
}

/**
 * Takes files out of checkpoints, and notes them for removal from storage. A checkpoint that keeps some is
 * PARTIALLY_DELETED, one that keeps none DELETED. One that is being written is given up, if `whole`: it is ERROR.
 *
 * Throws, and changes nothing, `not_found` if one does not exist, `failed_precondition` if one is the checkpoint of a
 * model version, or is being written and not `whole`.
 */
export async function removeCheckpointFiles(
	tx: Transaction,
	uuids: readonly string[],
	isDoomed: IsDoomed,
	whole: boolean,
): Promise<void> {
	const rows = await tx.all<DoomedRow>(
		"SELECT id, uuid, state FROM checkpoints WHERE uuid IN (SELECT value FROM json_each(?)) ORDER BY uuid",
		JSON.stringify(uuids),
	);
	assertAllFound(uuids, rows);
	await assertUnregistered(tx, rows);
	const written = rows.filter(({ state }) => state === "ACTIVE");
	if (written.length > 0 && !whole) {
		throw new MillraceError(
			"failed_precondition",
			`checkpoint ${written[0]?.uuid} is ACTIVE, so its files are being written; complete it first, or give it up with the glob "**/*"`,
		);
	}
	for (const row of rows) {
		if (row.state === "ACTIVE") {
			await tx.run("UPDATE checkpoints SET state = 'ERROR' WHERE id = ?", row.id);
			await removeWhole(tx, row.id);
		} else if (row.state === "ERROR" && whole) {
			await tx.run("UPDATE checkpoints SET state = 'DELETED' WHERE id = ?", row.id);
		} else if (row.state === "COMPLETED" || row.state === "PARTIALLY_DELETED") {
			await removeSome(tx, row, isDoomed);
		}
	}
}

/** Gives up the checkpoints that a run has not completed: they are ERROR, and their files are noted for removal. */
export async function giveUpCheckpoints(tx: Transaction, trialId: number, trialRunId: number): Promise<void> {
	const rows = await tx.all<{ id: number }>(
		`UPDATE checkpoints SET state = 'ERROR' WHERE trial_id = ? AND trial_run_id = ? AND state = 'ACTIVE' RETURNING id`,
		trialId,
		trialRunId,
	);
	for (const { id } of rows) {
		await removeWhole(tx, id);
	}
}

/** The same for the checkpoints of no trial that were created before `time`, in milliseconds since 1970. */
export async function giveUpOldCheckpoints(tx: Transaction, time: number): Promise<void> {
	const rows = await tx.all<{ id: number }>(
		"UPDATE checkpoints SET state = 'ERROR' WHERE state = 'ACTIVE' AND report_time < ? AND trial_id IS NULL RETURNING id",
		time,
	);
	for (const { id } of rows) {
		await removeWhole(tx, id);
	}
}

/** Notes a checkpoint's directory for removal. */
export async function removeWhole(tx: Transaction, checkpointId: number): Promise<void> {
	await tx.run("DELETE FROM checkpoint_uploads WHERE checkpoint_id = ?", checkpointId);
	await notePaths(tx, checkpointId, [""]);
}

/** Notes a file or a directory of a checkpoint for removal. */
export async function notePaths(tx: Transaction, checkpointId: number, paths: readonly string[]): Promise<void> {
	await tx.run(
		`INSERT INTO checkpoint_removals (checkpoint_id, path) SELECT ?, value FROM json_each(?) WHERE true
		ON CONFLICT DO NOTHING`,
		checkpointId,
		JSON.stringify(paths),
	);
}

/** Returns what is to be removed from storage, of these checkpoints or of all. */
export async function listRemovals(db: Reader, uuids?: readonly string[]): Promise<Removal[]> {
	const columns = "checkpoints.id, uuid, storage, json_group_array(path) AS paths";
	const rows =
		uuids === undefined
			? await db.all<RemovalRow>(
					`SELECT ${columns} FROM checkpoint_removals JOIN checkpoints ON checkpoints.id = checkpoint_id
					WHERE checkpoint_id > 0 GROUP BY checkpoint_id`,
				)
			: await db.all<RemovalRow>(
					`SELECT ${columns} FROM checkpoints JOIN checkpoint_removals ON checkpoint_id = checkpoints.id
					WHERE uuid IN (SELECT value FROM json_each(?)) GROUP BY checkpoints.id`,
					JSON.stringify(uuids),
				);
	return rows.map(({ id, uuid, storage, paths }) => {
		const noted = JSON.parse(paths) as string[];
		return {
			checkpointId: id,
			uuid,
			storage: toStorage(storage),
			paths: noted.includes("") ? undefined : noted,
		};
	});
}

interface RemovalRow {
	readonly id: number;
	readonly uuid: string;
	readonly storage: string;
	readonly paths: string;
}

/** Takes note that something was removed from storage. */
export async function forgetRemoval(tx: Transaction, { checkpointId, paths }: Removal): Promise<void> {
	await tx.run(
		"DELETE FROM checkpoint_removals WHERE checkpoint_id = ?1 AND (?2 IS NULL OR path IN (SELECT value FROM json_each(?2)))",
		checkpointId,
		paths === undefined ? null : JSON.stringify(paths),
	);
}

async function removeSome(tx: Transaction, row: DoomedRow, isDoomed: IsDoomed): Promise<void> {
	const files = await tx.all<{ path: string }>(
		"SELECT path FROM checkpoint_files WHERE checkpoint_id = ? ORDER BY path",
		row.id,
	);
	const doomed = files.map(({ path }) => path).filter((path) => isDoomed(row.uuid, path));
	if (doomed.length === 0) {
		return;
	}
	await tx.run(
		"DELETE FROM checkpoint_files WHERE checkpoint_id = ? AND path IN (SELECT value FROM json_each(?))",
		row.id,
		JSON.stringify(doomed),
	);
	const keepsSome = doomed.length < files.length;
	await tx.run("UPDATE checkpoints SET state = ? WHERE id = ?", keepsSome ? "PARTIALLY_DELETED" : "DELETED", row.id);
	await (keepsSome ? notePaths(tx, row.id, doomed) : removeWhole(tx, row.id));
}

function assertAllFound(uuids: readonly string[], rows: readonly DoomedRow[]): void {
	const found = new Set(rows.map(({ uuid }) => uuid));
	const missing = [...new Set(uuids)].filter((uuid) => !found.has(uuid)).sort();
	if (missing.length > 0) {
		const noun = missing.length === 1 ? "checkpoint" : "checkpoints";
		throw new MillraceError("not_found", `${noun} '${missing.join(", ")}' not found`);
	}
}

async function assertUnregistered(tx: Transaction, rows: readonly DoomedRow[]): Promise<void> {
	const versions = await tx.all<{ uuid: string; name: string; model_id: number; version: number }>(
		`SELECT uuid, models.name, model_id, version FROM json_each(?)
		JOIN checkpoints ON checkpoints.id = value
		JOIN model_versions ON checkpoint_id = checkpoints.id
		JOIN models ON models.id = model_id
		ORDER BY uuid, model_id, version`,
		JSON.stringify(rows.map(({ id }) => id)),
	);
	if (versions.length > 0) {
		const list = versions
			.map(
				({ uuid, name, model_id, version }) =>
					`${uuid}, registered to ${name} (model #${model_id}), version ${version}.`,
			)
			.join(" ");
		throw new MillraceError(
			"failed_precondition",
			`this subset of checkpoints provided are in the model registry and cannot be deleted: ${list}`,
		);
	}
}
