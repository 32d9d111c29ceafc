import { createHash, randomUUID } from "node:crypto";
import { create, type JsonObject } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { MillraceError } from "../../errors.js";
import { type Checkpoint, CheckpointSchema, CheckpointState } from "../../gen/millrace/v1/checkpoint_pb.js";
import type { Storage, StoredFile } from "../../gen/millrace/v1/storage_pb.js";
import type { Reader, Transaction } from "./database.js";
import { enumValue } from "./enum-name.js";
import { fromObject, fromStorage, toObject, toStorage } from "./json-column.js";

/** A row of the table checkpoints. */
export interface CheckpointRow {
	readonly id: number;
	readonly uuid: string;
	readonly trial_id: number | null;
	readonly state: keyof typeof CheckpointState;
	readonly metadata: string;
	readonly storage: string;
	readonly content_digest: string | null;
	readonly report_time: number;
	/** As JSON: [path, size, digest] of each, in the order of the paths. */
	readonly files: string;
}

const columns = `checkpoints.*, (
	SELECT json_group_array(json_array(path, size_bytes, sha256)) FROM (
		SELECT path, size_bytes, sha256 FROM checkpoint_files WHERE checkpoint_id = checkpoints.id ORDER BY path
	)
) AS files`;

/** Creates a checkpoint in state ACTIVE. */
export async function createCheckpoint(
	tx: Transaction,
	checkpoint: { metadata: JsonObject | undefined; storage: Storage },
): Promise<Checkpoint> {
	const uuid = randomUUID();
	await tx.run(
		"INSERT INTO checkpoints (uuid, state, metadata, storage, report_time) VALUES (?, 'ACTIVE', ?, ?, ?)",
		uuid,
		fromObject(checkpoint.metadata),
		fromStorage(checkpoint.storage),
		tx.now,
	);
	return getCheckpoint(tx, uuid);
}

/** Returns the oldest COMPLETED checkpoint that has exactly these files, or undefined. */
export async function findCheckpointByFiles(db: Reader, files: readonly StoredFile[]): Promise<Checkpoint | undefined> {
	const row = await db.get<CheckpointRow>(
		`SELECT ${columns} FROM checkpoints WHERE content_digest = ? AND state = 'COMPLETED' ORDER BY id LIMIT 1`,
		contentDigest(files),
	);
	return row && toCheckpoint(row);
}

/**
 * Records a checkpoint's files and sets it COMPLETED. With `reuse`, another one with the same files that
 * was COMPLETED meanwhile is returned, and this one is set DELETED.
 *
 * Throws `not_found` if it does not exist, `failed_precondition` if it is neither ACTIVE nor COMPLETED with
 * the same files.
 */
export async function completeCheckpoint(
	tx: Transaction,
	uuid: string,
	files: readonly StoredFile[],
	reuse: boolean,
): Promise<Checkpoint> {
	const row = await getCheckpointRow(tx, uuid);
	const digest = contentDigest(files);
	const isAnswered = row.state === "COMPLETED" || (row.state === "DELETED" && reuse);
	if (isAnswered && row.content_digest === digest) {
		// A repeated request.
		const same = row.state === "DELETED" ? await findCheckpointByFiles(tx, files) : undefined;
		return same ?? toCheckpoint(row);
	}
	if (row.state !== "ACTIVE") {
		throw new MillraceError(
			"failed_precondition",
			row.state === "COMPLETED"
				? `checkpoint ${uuid} is COMPLETED with other files; create another checkpoint`
				: `checkpoint ${uuid} is in state ${row.state}; only an ACTIVE one can be completed`,
		);
	}
	const same = reuse ? await findCheckpointByFiles(tx, files) : undefined;
	await tx.run(
		"UPDATE checkpoints SET state = ?, content_digest = ? WHERE id = ?",
		same === undefined ? "COMPLETED" : "DELETED",
		digest,
		row.id,
	);
	if (same !== undefined) {
		return same;
	}
	await tx.run(
		`INSERT INTO checkpoint_files (checkpoint_id, path, size_bytes, sha256)
		SELECT ?, value ->> 0, value ->> 1, value ->> 2 FROM json_each(?)`,
		row.id,
		JSON.stringify(files.map((file) => [file.path, Number(file.sizeBytes), file.sha256])),
	);
	return getCheckpoint(tx, uuid);
}

/** Returns a checkpoint's row. Throws `not_found` if there is none. */
export async function getCheckpointRow(db: Reader, uuid: string): Promise<CheckpointRow> {
	const row = await db.get<CheckpointRow>(`SELECT ${columns} FROM checkpoints WHERE uuid = ?`, uuid);
	if (row === undefined) {
		throw new MillraceError("not_found", `checkpoint '${uuid}' not found`);
	}
	return row;
}

/** Returns a checkpoint. Throws `not_found` if there is none. */
export async function getCheckpoint(db: Reader, uuid: string): Promise<Checkpoint> {
	return toCheckpoint(await getCheckpointRow(db, uuid));
}

/** Returns checkpoints with the row ids `ids`, by row id. */
export async function getCheckpointsById(db: Reader, ids: readonly number[]): Promise<Map<number, Checkpoint>> {
	const rows = await db.all<CheckpointRow>(
		`SELECT ${columns} FROM checkpoints WHERE id IN (SELECT value FROM json_each(?))`,
		JSON.stringify(ids),
	);
	return new Map(rows.map((row) => [row.id, toCheckpoint(row)]));
}

/** Returns checkpoints with a row id below `before`, the newest first, with their row ids. */
export async function listCheckpoints(
	db: Reader,
	before: number,
	limit: number,
): Promise<{ id: number; checkpoint: Checkpoint }[]> {
	const rows = await db.all<CheckpointRow>(
		`SELECT ${columns} FROM checkpoints WHERE id < ? ORDER BY id DESC LIMIT ?`,
		before,
		limit,
	);
	return rows.map((row) => ({ id: row.id, checkpoint: toCheckpoint(row) }));
}

/** Returns a digest that two sets of files share only if they have the same paths, sizes and digests. */
function contentDigest(files: readonly StoredFile[]): string {
	const lines = files.map((file) => JSON.stringify([file.path, Number(file.sizeBytes), file.sha256]));
	return createHash("sha256").update(lines.sort().join("\n")).digest("hex");
}

function toCheckpoint(row: CheckpointRow): Checkpoint {
	const files = JSON.parse(row.files) as [path: string, sizeBytes: number, sha256: string][];
	return create(CheckpointSchema, {
		uuid: row.uuid,
		trialId: row.trial_id ?? 0,
		state: enumValue(CheckpointState, row.state),
		metadata: toObject(row.metadata),
		files: files.map(([path, sizeBytes, sha256]) => ({ path, sizeBytes: BigInt(sizeBytes), sha256 })),
		storage: toStorage(row.storage),
		reportTime: timestampFromMs(row.report_time),
	});
}
