import { createHash, randomUUID } from "node:crypto";
import { create, type JsonObject } from "@bufbuild/protobuf";
import { MillraceError } from "../../errors.js";
import { type MetadataChange, MetadataChangeSchema } from "../../gen/millrace/v1/change_pb.js";
import type { Checkpoint } from "../../gen/millrace/v1/checkpoint_pb.js";
import type { Storage, StoredFile } from "../../gen/millrace/v1/storage_pb.js";
import { applyMetadataChange } from "../metadata-change.js";
import { removeWhole } from "./checkpoint-removals.js";
import { assertUploaded } from "./checkpoint-uploads.js";
import {
	type CheckpointRow,
	findCheckpointByContent,
	getCheckpoint,
	getCheckpointRow,
	toCheckpoint,
} from "./checkpoints.js";
import type { Reader, Transaction } from "./database.js";
import { fromObject, fromStorage } from "./json-column.js";
import { closedRunText } from "./members.js";
import { getRunRow, isOpen } from "./trial-runs.js";
import { getTrialRow } from "./trials.js";

/** Who writes a checkpoint, and what it says of it. */
export interface NewCheckpoint {
	readonly metadata: JsonObject | undefined;
	/** Where its files are kept if no trial writes it. */
	readonly defaultStorage: Storage;
	/** 0 if no trial writes it. */
	readonly trialId: number;
	readonly trialRunId: number;
	/** The files that will be written, if somebody else may go on with it. */
	readonly planned: readonly StoredFile[] | undefined;
}

/**
 * Creates a checkpoint in state ACTIVE. With `planned` files, one that is being written for the same files, by the
 * same run or by none, is returned instead.
 *
 * Throws `not_found` if the trial or the run does not exist, `failed_precondition` if the run is over.
 */
export async function createCheckpoint(tx: Transaction, checkpoint: NewCheckpoint): Promise<Checkpoint> {
	const { trialId, trialRunId } = checkpoint;
	let storage = fromStorage(checkpoint.defaultStorage);
	if (trialId > 0) {
		const run = await getRunRow(tx, trialId, trialRunId);
		if (!isOpen(run)) {
			throw new MillraceError("failed_precondition", closedRunText(trialId, run));
		}
		storage = (await getTrialRow(tx, trialId)).storage;
	}
	const planned = checkpoint.planned && contentDigest(checkpoint.planned);
	if (planned !== undefined) {
		const begun = await tx.get<{ uuid: string }>(
			`SELECT uuid FROM checkpoints WHERE planned_digest = ? AND state = 'ACTIVE'
				AND ifnull(trial_id, 0) = ? AND trial_run_id = ? ORDER BY id LIMIT 1`,
			planned,
			trialId,
			trialRunId,
		);
		if (begun !== undefined) {
			return getCheckpoint(tx, begun.uuid);
		}
	}
	const uuid = randomUUID();
	await tx.run(
		`INSERT INTO checkpoints (uuid, trial_id, trial_run_id, state, metadata, storage, report_time, planned_digest)
		VALUES (?, ?, ?, 'ACTIVE', ?, ?, ?, ?)`,
		uuid,
		trialId || null,
		trialRunId,
		fromObject(checkpoint.metadata),
		storage,
		tx.now,
		planned ?? null,
	);
	return getCheckpoint(tx, uuid);
}

/** Returns the oldest COMPLETED checkpoint that has exactly these files, or undefined. */
export function findCheckpointByFiles(db: Reader, files: readonly StoredFile[]): Promise<Checkpoint | undefined> {
	return findCheckpointByContent(db, contentDigest(files));
}

/** What completes a checkpoint. */
export interface Completion {
	readonly files: readonly StoredFile[];
	/** Whether another one with the same files may be returned. */
	readonly reuse: boolean;
	/** Metadata to add. */
	readonly metadata: JsonObject | undefined;
}

/**
 * Records a checkpoint's files and sets it COMPLETED. With `reuse`, another one with the same files that
 * was COMPLETED meanwhile is returned, and this one is set DELETED.
 *
 * Throws `not_found` if it does not exist, `failed_precondition` if it is neither ACTIVE nor COMPLETED in the
 * same way, or if a file that came over the wire is not whole.
 */
export async function completeCheckpoint(
	tx: Transaction,
	uuid: string,
	{ files, reuse, metadata }: Completion,
): Promise<Checkpoint> {
	const row = await getCheckpointRow(tx, uuid);
	const digest = contentDigest(files);
	const added = fromObject(metadata);
	if (row.state !== "ACTIVE") {
		if (row.content_digest !== digest || row.completed_metadata !== added) {
			throw new MillraceError("failed_precondition", notActiveText(row, row.content_digest !== digest));
		}
		// A repeated request.
		const same = row.state === "DELETED" && reuse ? await findCheckpointByContent(tx, digest) : undefined;
		return same ?? toCheckpoint(row);
	}
	await assertUploaded(tx, row, files);
	const same = reuse ? await findCheckpointByContent(tx, digest) : undefined;
	const change = create(MetadataChangeSchema, metadata && { set: metadata });
	await tx.run(
		"UPDATE checkpoints SET state = ?, content_digest = ?, completed_metadata = ?, metadata = ? WHERE id = ?",
		same === undefined ? "COMPLETED" : "DELETED",
		digest,
		added,
		applyMetadataChange("metadata", row.metadata, change),
		row.id,
	);
	if (same !== undefined) {
		await removeWhole(tx, row.id);
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

/** Changes a checkpoint's metadata. Throws `not_found` if it does not exist, `invalid_argument` if they get too long. */
export async function updateCheckpointMetadata(
	tx: Transaction,
	uuid: string,
	change: MetadataChange,
): Promise<Checkpoint> {
	const { id, metadata } = await getCheckpointRow(tx, uuid);
	await tx.run(
		"UPDATE checkpoints SET metadata = ? WHERE id = ?",
		applyMetadataChange("metadata", metadata, change),
		id,
	);
	return getCheckpoint(tx, uuid);
}

function notActiveText({ uuid, state }: CheckpointRow, otherFiles: boolean): string {
	if (state === "COMPLETED") {
		return otherFiles
			? `checkpoint ${uuid} is COMPLETED with other files; create another checkpoint`
			: `checkpoint ${uuid} is COMPLETED with other metadata; change them by themselves`;
	}
	return `checkpoint ${uuid} is in state ${state}; only an ACTIVE one can be completed`;
}

/** Returns a digest that two sets of files share only if they have the same paths, sizes and digests. */
function contentDigest(files: readonly StoredFile[]): string {
	const lines = files.map((file) => JSON.stringify([file.path, Number(file.sizeBytes), file.sha256]));
	return createHash("sha256").update(lines.sort().join("\n")).digest("hex");
}
