import { stat } from "node:fs/promises";
import { isMillraceError, MillraceError } from "../../errors.js";
import { CheckpointState } from "../../gen/millrace/v1/checkpoint_pb.js";
import type { Storage } from "../../gen/millrace/v1/storage_pb.js";
import type { Connection } from "../../sdk/connection.js";
import { sendFile } from "../../sdk/upload-checkpoint.js";
import type { LocalFile } from "../../storage/local-files.js";
import { openStorage } from "../../storage/open-storage.js";
import type { StorageManager } from "../../storage/storage-manager.js";

/** Where the files of a checkpoint that is being stored go, as one worker sees it. */
export class CheckpointPlace {
	readonly uuid: string;
	readonly storage: StorageManager;
	/** Whether this worker sees the directory that the server has made for it; else its files go through the server. */
	readonly isSeen: boolean;
	readonly #connection: Connection;
	#isUnproven = false;

	private constructor(connection: Connection, uuid: string, storage: StorageManager, isSeen: boolean) {
		this.#connection = connection;
		this.uuid = uuid;
		this.storage = storage;
		this.isSeen = isSeen;
	}

	/** Finds the place of a checkpoint that was just created. */
	static async find(connection: Connection, uuid: string, storage: Storage): Promise<CheckpointPlace> {
		const manager = openStorage(storage);
		const stats = await stat(manager.directory(uuid)).catch(() => undefined);
		return new CheckpointPlace(connection, uuid, manager, stats?.isDirectory() === true);
	}

	/** Whether files were written to what has the storage's path here, but was not proven to be the same as elsewhere. */
	get isUnproven(): boolean {
		return this.#isUnproven;
	}

	/**
	 * Copies files to their places. When it returns they are on disk, and whole.
	 *
	 * Throws `failed_precondition` if neither this worker nor the server reaches the storage.
	 */
	async copy(files: readonly LocalFile[]): Promise<void> {
		if (this.isSeen) {
			await this.storage.upload(this.uuid, files);
			return;
		}
		try {
			for (const file of files) {
				await sendFile(this.#connection, this.uuid, file);
			}
		} catch (error) {
			if (!isOutOfReach(error) || !(await this.#isActive())) {
				throw error;
			}
			await this.#copyPastServer(files, error);
		}
	}

	/** A storage that the server does not reach may be mounted on all nodes of the workers. */
	async #copyPastServer(files: readonly LocalFile[], refusal: MillraceError): Promise<void> {
		this.#isUnproven = true;
		await this.storage.upload(this.uuid, files).catch((error) => {
			throw isOutOfReach(error)
				? new MillraceError(
						"failed_precondition",
						`neither this worker (${error.message}) nor the server (${refusal.message}) reaches the storage: ` +
							"mount it on the server's node, or on those of all workers",
					)
				: error;
		});
	}

	async #isActive(): Promise<boolean> {
		const { checkpoint } = await this.#connection.checkpoints.getCheckpoint({ checkpointUuid: this.uuid });
		return checkpoint?.state === CheckpointState.ACTIVE;
	}
}

function isOutOfReach(error: unknown): error is MillraceError {
	return isMillraceError(error, "failed_precondition") || isMillraceError(error, "permission_denied");
}
