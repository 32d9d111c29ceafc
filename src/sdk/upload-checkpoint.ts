import { randomUUID } from "node:crypto";
import { open, stat } from "node:fs/promises";
import { isMillraceError, MillraceError } from "../errors.js";
import { type Checkpoint as CheckpointMessage, CheckpointState } from "../gen/millrace/v1/checkpoint_pb.js";
import { fileError } from "../storage/file-error.js";
import { type LocalFile, listLocalFiles } from "../storage/local-files.js";
import { toStoredFile } from "../storage/manifest.js";
import { openStorage } from "../storage/open-storage.js";
import { assertBoolean } from "./assert-boolean.js";
import { assertMode } from "./assert-mode.js";
import { assertPath } from "./assert-path.js";
import type { Connection } from "./connection.js";
import type { TransferMode } from "./download-files.js";
import { type JsonObject, toJsonObject } from "./json.js";

/** Options of `client.uploadCheckpoint`. */
export interface UploadCheckpointOptions {
	/** The user's metadata. Default: {}. A checkpoint that is reused keeps its own. */
	readonly metadata?: JsonObject;
	/**
	 * Whether a COMPLETED checkpoint with exactly the same paths and contents is returned instead of a new
	 * one. Default: false. What is gone of its stored files is copied again. An upload with `reuse` that was broken
	 * off, as when its process was killed, is gone on with by the next one of the same files.
	 */
	readonly reuse?: boolean;
	/**
	 * Which way the files take: "direct" into the storage, "master" through the server, or "auto": directly where this
	 * machine reaches the server's storage. Default: "auto".
	 */
	readonly mode?: TransferMode;
}

/** Uploads a file or a directory tree as a checkpoint; see `Client.uploadCheckpoint`. */
export async function uploadCheckpoint(
	open: () => Promise<Connection>,
	path: string,
	options: UploadCheckpointOptions,
): Promise<CheckpointMessage> {
	assertPath(path, "the path to upload");
	const metadata = toJsonObject(options.metadata ?? {}, "metadata");
	const { reuse = false, mode = "auto" } = options;
	assertBoolean(reuse, "reuse");
	assertMode(mode);
	const local = await listLocalFiles(path);
	const files = local.map(toStoredFile);
	const connection = await open();
	const { checkpoints } = connection;
	const created = await checkpoints.createCheckpoint({ requestId: randomUUID(), metadata, files, reuse });
	const checkpoint = created.checkpoint as CheckpointMessage;
	try {
		await bringFiles(connection, checkpoint, local, mode);
	} catch (error) {
		// One with `reuse` may be another's too, and can be gone on with.
		if (checkpoint.state === CheckpointState.ACTIVE && !reuse) {
			await giveUp(connection, checkpoint.uuid);
		}
		throw error;
	}
	if (checkpoint.state === CheckpointState.COMPLETED) {
		return checkpoint;
	}
	const completed = await checkpoints.completeCheckpoint({ checkpointUuid: checkpoint.uuid, files, reuse });
	const result = completed.checkpoint as CheckpointMessage;
	if (result.uuid !== checkpoint.uuid) {
		await bringFiles(connection, result, local, mode);
	}
	return result;
}

/** Brings those files of a checkpoint to its storage that are not there. */
async function bringFiles(
	connection: Connection,
	checkpoint: CheckpointMessage,
	local: readonly LocalFile[],
	mode: TransferMode,
): Promise<void> {
	const { uuid } = checkpoint;
	const storage = openStorage(checkpoint.storage);
	// The server makes the directory of a new checkpoint: who sees it reaches the same storage.
	if (mode === "direct" || (mode === "auto" && (await isDirectory(storage.directory(uuid))))) {
		const sizes = new Map((await storage.list(uuid)).map(({ path, sizeBytes }) => [path, sizeBytes]));
		const isKept = checkpoint.state === CheckpointState.COMPLETED;
		const missing = isKept ? local.filter(({ path, sizeBytes }) => (sizes.get(path) ?? -1) < sizeBytes) : local;
		if (missing.length > 0) {
			await storage.upload(uuid, missing);
		}
		return;
	}
	for (const file of local) {
		await sendFile(connection, uuid, file);
	}
}

const pieceBytes = 4 * 1024 * 1024;

/** Sends a file through the server, from where an earlier attempt was broken off. */
export async function sendFile({ checkpoints }: Connection, checkpointUuid: string, local: LocalFile): Promise<void> {
	const file = toStoredFile(local);
	const changed = () => new MillraceError("aborted", `${local.source} changed while it was uploaded; upload it again`);
	const handle = await open(local.source, "r").catch((cause) => {
		throw fileError(cause, `cannot read ${local.source}`);
	});
	try {
		let there = await checkpoints.writeCheckpointFile({ checkpointUuid, file });
		let attempts = 0;
		while (!there.complete) {
			const offset = Number(there.sizeBytes);
			const buffer = new Uint8Array(Math.min(pieceBytes, local.sizeBytes - offset));
			const { bytesRead } = await handle.read(buffer, 0, buffer.length, offset).catch((cause) => {
				throw fileError(cause, `cannot read ${local.source}`);
			});
			if (bytesRead === 0) {
				throw changed();
			}
			const data = buffer.subarray(0, bytesRead);
			try {
				there = await checkpoints.writeCheckpointFile({ checkpointUuid, file, offset: there.sizeBytes, data });
			} catch (error) {
				const isLost = isMillraceError(error, "data_loss") || isMillraceError(error, "out_of_range");
				if (!isLost || attempts++ > 0) {
					throw isMillraceError(error, "data_loss") ? changed() : error;
				}
				// What an earlier attempt had left was not right, or is gone.
				there = await checkpoints.writeCheckpointFile({ checkpointUuid, file });
			}
		}
	} finally {
		await handle.close();
	}
}

/** Has the server remove what was written. Where it does not answer, the checkpoint stays ACTIVE until it looks for old ones. */
export async function giveUp({ checkpoints }: Connection, uuid: string): Promise<void> {
	const request = { requestId: randomUUID(), checkpointUuids: [uuid], globs: ["**/*"] };
	await checkpoints.removeCheckpointFiles(request, { retryMs: 2_000 }).catch(() => {});
}

async function isDirectory(path: string): Promise<boolean> {
	const stats = await stat(path).catch(() => undefined);
	return stats?.isDirectory() === true;
}
