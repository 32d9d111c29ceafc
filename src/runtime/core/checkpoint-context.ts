import { randomUUID } from "node:crypto";
import { resolve } from "node:path";
import { MillraceError } from "../../errors.js";
import { assertKnownOptions } from "../../sdk/assert-options.js";
import type { JsonObject } from "../../sdk/json.js";
import { shown } from "../../sdk/shown.js";
import { listLocalFiles } from "../../storage/local-files.js";
import type { DistributedContext } from "../distributed/distributed-context.js";
import type { JoinedRun } from "../join-run.js";
import type { PendingWork } from "../pending-work.js";
import type { CheckpointPlace } from "./checkpoint-place.js";
import { type DownloadMode, fetchFiles, withFiles } from "./fetch-files.js";
import { Party } from "./party.js";
import { StagedFiles } from "./staged-files.js";
import { type GatheredFiles, storeCheckpoint } from "./store-checkpoint.js";

/** Chooses files by their paths below the checkpoint's directory, with "/" between the parts. */
export type FileSelector = (path: string) => boolean;

/** Options of `storePath`. */
export interface StorePathOptions {
	/**
	 * Whether all workers call it together and each writes files of its own; default false: only the chief calls it. Two
	 * workers may write the same file, but not different ones of the same path. Their metadata is put together.
	 */
	readonly shard?: boolean;
}

/** Options of `upload`. */
export interface UploadOptions extends StorePathOptions {
	/** Which files of the directory; default all. */
	readonly selector?: FileSelector;
}

/** Options of `restorePath` and `download`. */
export interface FetchOptions {
	/** Which files this worker needs; default all. */
	readonly selector?: FileSelector;
	/**
	 * "LocalWorkersShareDownload", the default: all workers of a node call it together, and have one directory, with what
	 * any of them needs. "NoSharedDownload": each by itself.
	 */
	readonly downloadMode?: DownloadMode;
}

/**
 * The checkpoints of the trial. They lie in the trial's storage, and are COMPLETED once all their files are on disk, or
 * never. Where a worker does not see that storage, the files come and go through the server.
 *
 * Python: `CheckpointContext`
 */
export class CheckpointContext {
	readonly #run: JoinedRun;
	readonly #distributed: DistributedContext;
	readonly #pending: PendingWork;
	readonly #assertOpen: () => void;

	/** @internal For the runtime's own use. */
	constructor(run: JoinedRun, distributed: DistributedContext, pending: PendingWork, assertOpen: () => void) {
		this.#run = run;
		this.#distributed = distributed;
		this.#pending = pending;
		this.#assertOpen = assertOpen;
	}

	/**
	 * Gives `write` an empty directory, stores what it writes there as a checkpoint, and returns the checkpoint's UUID.
	 *
	 * @param metadata The checkpoint's metadata, with the number `steps_completed`.
	 *
	 * Throws what `write` throws; `invalid_argument` without steps_completed or without a file, or if workers disagree on a
	 * key of the metadata or a file; `failed_precondition` if a worker that is not the chief calls it without `shard`, or if
	 * neither the worker nor the server reaches the storage.
	 *
	 * Python: `store_path(metadata, shard)`
	 */
	storePath(
		metadata: JsonObject,
		write: (path: string, uuid: string) => void | Promise<void>,
		options: StorePathOptions = {},
	): Promise<string> {
		assertKnownOptions(options, "storePath", ["shard"]);
		const { rank } = this.#run.member;
		return this.#store(metadata, options, "storePath", async (place) => {
			const staged = await StagedFiles.create(place, rank);
			try {
				await write(staged.path, place.uuid);
				const files = await staged.list();
				return { files, bring: (own) => staged.bring(own), clear: () => staged.remove() };
			} catch (error) {
				await staged.remove();
				throw error;
			}
		});
	}

	/**
	 * Stores the files of a directory as a checkpoint, and returns the checkpoint's UUID. With `shard`, a worker without
	 * files gives null for the directory. Throws as storePath.
	 *
	 * Python: `upload(ckpt_dir, metadata, shard, selector)`
	 */
	upload(directory: string | null, metadata: JsonObject, options: UploadOptions = {}): Promise<string> {
		assertKnownOptions(options, "upload", ["shard", "selector"]);
		const { selector = all } = options;
		return this.#store(metadata, options, "upload", async (place) => {
			const found = directory === null ? [] : await listLocalFiles(directory);
			return {
				files: found.filter(({ path }) => selector(path)),
				bring: (own) => place.copy(own),
				clear: async () => {},
			};
		});
	}

	/**
	 * Gives `read` a directory with the files of a checkpoint, and returns what it returns. The directory is a copy, each
	 * file of it verified, and is removed after that.
	 *
	 * Throws what `read` throws; `not_found` if there is no such checkpoint; `failed_precondition` if it has no files;
	 * `data_loss` if a file in storage is corrupted.
	 *
	 * Python: `restore_path(storage_id, download_mode, selector)`
	 */
	async restorePath<R>(uuid: string, read: (path: string) => R | Promise<R>, options: FetchOptions = {}): Promise<R> {
		this.#assertOpen();
		assertKnownOptions(options, "restorePath", ["downloadMode", "selector"]);
		const { selector = all } = options;
		return withFiles(this.#run.connection, this.#sharers(options), uuid, selector, read);
	}

	/**
	 * Copies the files of a checkpoint to a directory, which is made if need be, and returns its absolute path. Each copy is
	 * verified, and gets its name only when it is whole. Throws as restorePath.
	 *
	 * Python: `download(storage_id, ckpt_dir, download_mode, selector)`
	 */
	async download(uuid: string, directory: string, options: FetchOptions = {}): Promise<string> {
		this.#assertOpen();
		assertKnownOptions(options, "download", ["downloadMode", "selector"]);
		const target = resolve(directory);
		const { selector = all } = options;
		await fetchFiles(this.#run.connection, this.#sharers(options), uuid, selector, async () => target);
		return target;
	}

	/** Returns a checkpoint's metadata. Throws `not_found` if there is none. Python: `get_metadata(storage_id)` */
	async getMetadata(uuid: string): Promise<JsonObject> {
		this.#assertOpen();
		const { checkpoint } = await this.#run.connection.checkpoints.getCheckpoint({ checkpointUuid: uuid });
		return checkpoint?.metadata ?? {};
	}

	/**
	 * Deletes files of a checkpoint: the server is asked, and deletes them.
	 *
	 * @param globs Which files; default all.
	 *
	 * Throws `failed_precondition` if it is registered as a model version; then nothing is deleted. `not_found` if there is
	 * no such checkpoint.
	 *
	 * Python: `delete(storage_id, globs)`
	 */
	async delete(uuid: string, globs: readonly string[] = ["**/*"]): Promise<void> {
		this.#assertOpen();
		const request = { requestId: randomUUID(), checkpointUuids: [uuid], globs: [...globs] };
		await this.#run.connection.checkpoints.removeCheckpointFiles(request);
	}

	#store(
		metadata: JsonObject,
		{ shard = false }: StorePathOptions,
		name: string,
		gather: (place: CheckpointPlace) => Promise<GatheredFiles>,
	): Promise<string> {
		this.#assertOpen();
		const { rendezvous, member } = this.#run;
		if (!shard && member.rank > 0) {
			throw new MillraceError(
				"failed_precondition",
				`${name} was called on rank ${member.rank}; without shard: true only the chief, rank 0, calls it`,
			);
		}
		const party = shard ? Party.ofWorld(rendezvous, this.#distributed) : Party.alone(rendezvous);
		return this.#pending.track(storeCheckpoint(this.#run, party, metadata, gather));
	}

	#sharers({ downloadMode = "LocalWorkersShareDownload" }: FetchOptions): Party {
		const { rendezvous } = this.#run;
		switch (downloadMode) {
			case "LocalWorkersShareDownload":
				return Party.ofNode(rendezvous, this.#distributed);
			case "NoSharedDownload":
				return Party.alone(rendezvous);
			default:
				throw new MillraceError(
					"invalid_argument",
					`downloadMode is ${shown(downloadMode)}; it must be "LocalWorkersShareDownload" or "NoSharedDownload"`,
				);
		}
	}
}

const all: FileSelector = () => true;
