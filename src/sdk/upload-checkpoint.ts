import { randomUUID } from "node:crypto";
import { MillraceError } from "../errors.js";
import { type Checkpoint as CheckpointMessage, CheckpointState } from "../gen/millrace/v1/checkpoint_pb.js";
import { type LocalFile, listLocalFiles } from "../storage/local-files.js";
import { toStoredFile } from "../storage/manifest.js";
import { openStorage } from "../storage/open-storage.js";
import type { Connection } from "./connection.js";
import { type JsonObject, toJsonObject } from "./json.js";
import { shown } from "./shown.js";

/** Options of `client.uploadCheckpoint`. */
export interface UploadCheckpointOptions {
	/** The user's metadata. Default: {}. A checkpoint that is reused keeps its own. */
	readonly metadata?: JsonObject;
	/**
	 * Whether a COMPLETED checkpoint with exactly the same paths and contents is returned instead of a new
	 * one. Default: false. What is gone of its stored files is copied again.
	 */
	readonly reuse?: boolean;
}

/** Uploads a file or a directory tree as a checkpoint; see `Client.uploadCheckpoint`. */
export async function uploadCheckpoint(
	open: () => Promise<Connection>,
	path: string,
	options: UploadCheckpointOptions,
): Promise<CheckpointMessage> {
	if (typeof path !== "string" || path === "") {
		throw new MillraceError(
			"invalid_argument",
			`the path to upload is ${shown(path)}; give the path of a file or a directory`,
		);
	}
	const metadata = toJsonObject(options.metadata ?? {}, "metadata");
	const reuse = options.reuse ?? false;
	const local = await listLocalFiles(path);
	const files = local.map(toStoredFile);
	const { checkpoints } = await open();
	const created = await checkpoints.createCheckpoint({ requestId: randomUUID(), metadata, files, reuse });
	const checkpoint = created.checkpoint as CheckpointMessage;
	if (checkpoint.state === CheckpointState.COMPLETED) {
		await restoreFiles(checkpoint, local);
		return checkpoint;
	}
	const storage = openStorage(checkpoint.storage);
	const discard = () => storage.delete(checkpoint.uuid).catch(() => undefined);
	await storage.upload(checkpoint.uuid, local).catch(async (error) => {
		await discard();
		throw error;
	});
	const completed = await checkpoints.completeCheckpoint({ checkpointUuid: checkpoint.uuid, files, reuse });
	const result = completed.checkpoint as CheckpointMessage;
	if (result.uuid !== checkpoint.uuid) {
		await discard();
		await restoreFiles(result, local);
	}
	return result;
}

/** Copies again what is gone from the storage of a checkpoint that is reused. */
async function restoreFiles(checkpoint: CheckpointMessage, local: readonly LocalFile[]): Promise<void> {
	const storage = openStorage(checkpoint.storage);
	const sizes = new Map((await storage.list(checkpoint.uuid)).map(({ path, sizeBytes }) => [path, sizeBytes]));
	const missing = local.filter(({ path, sizeBytes }) => sizes.get(path) !== sizeBytes);
	if (missing.length > 0) {
		await storage.upload(checkpoint.uuid, missing);
	}
}
