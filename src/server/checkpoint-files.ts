import { rmdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { equals } from "@bufbuild/protobuf";
import { isMillraceError, MillraceError } from "../errors.js";
import { type Checkpoint, CheckpointState } from "../gen/millrace/v1/checkpoint_pb.js";
import { type StoredFile, StoredFileSchema } from "../gen/millrace/v1/storage_pb.js";
import type { ErrorLog } from "../rpc/status.js";
import { assertInside } from "../storage/assert-inside.js";
import { fromStoredFile } from "../storage/manifest.js";
import { openStorage } from "../storage/open-storage.js";
import { isWhole, partFile, partsDirectory } from "../storage/part-file.js";
import { syncDirectory } from "../storage/sync-directory.js";
import { forgetRemoval, giveUpOldCheckpoints, listRemovals, type Removal } from "./db/checkpoint-removals.js";
import { listBegun, noteUpload, uploadState } from "./db/checkpoint-uploads.js";
import { getCheckpoint, getCheckpointRow, toCheckpoint } from "./db/checkpoints.js";
import type { Database } from "./db/database.js";

const hourMs = 60 * 60 * 1000;
/** For how long a checkpoint of no trial may be written, in milliseconds. */
const writingMs = 7 * 24 * hourMs;
/** How long a caller waits for a removal, in milliseconds. It goes on without them. */
const removalWaitMs = 10_000;

/**
 * The server's own hands on checkpoint files: it sends and takes them for those who do not reach the storage, and it
 * removes what no checkpoint lists any more.
 */
export class CheckpointFiles {
	readonly #db: Database;
	readonly #log: ErrorLog;
	/** The work on the files of one checkpoint, by its UUID: one at a time. */
	readonly #busy = new Map<string, Promise<unknown>>();
	readonly #removals = new Set<Promise<void>>();
	readonly #timer: NodeJS.Timeout;
	#isClosed = false;

	/** @param log Receives why something could not be removed. */
	constructor(db: Database, log: ErrorLog) {
		this.#db = db;
		this.#log = log;
		this.#timer = setInterval(() => this.#inBackground(this.#sweep()), hourMs);
		this.#timer.unref();
		// What was to be removed when the last server ended.
		this.#inBackground(this.#sweep());
	}

	/**
	 * Makes the directory of a checkpoint that is to be written, if the storage is there. Who sees that directory
	 * reaches the same storage as this server.
	 */
	async prepare({ uuid, storage, state }: Checkpoint): Promise<void> {
		if (state === CheckpointState.ACTIVE) {
			// Its writers may reach it where the server does not.
			await openStorage(storage)
				.prepare(uuid)
				.catch(() => {});
		}
	}

	/**
	 * Reads a file of a checkpoint from `offset` on, in pieces of at most 256 KiB.
	 *
	 * Throws as ReadCheckpointFile says.
	 */
	async *read(uuid: string, path: string, offset: number): AsyncGenerator<Uint8Array> {
		const { files, storage } = await getCheckpoint(this.#db, uuid);
		const file = files.find((candidate) => candidate.path === path);
		if (file === undefined) {
			throw new MillraceError("not_found", `checkpoint ${uuid} has no file ${JSON.stringify(path)}`);
		}
		const entry = fromStoredFile(file);
		if (offset > entry.sizeBytes) {
			throw new MillraceError(
				"out_of_range",
				`offset is ${offset}, but ${JSON.stringify(path)} has ${entry.sizeBytes} bytes`,
			);
		}
		try {
			yield* openStorage(storage).read(uuid, entry, offset);
		} catch (error) {
			throw isMillraceError(error, "not_found") ? new MillraceError("data_loss", error.message) : error;
		}
	}

	/**
	 * Writes the next piece of a file of a checkpoint, and says how much is there.
	 *
	 * Throws as WriteCheckpointFile says.
	 */
	write(
		uuid: string,
		file: StoredFile,
		offset: number,
		data: Uint8Array,
	): Promise<{ sizeBytes: number; complete: boolean }> {
		return this.#alone(uuid, async () => {
			const row = await getCheckpointRow(this.#db, uuid);
			const { storage, files } = toCheckpoint(row);
			const isRestored = row.state === "COMPLETED" && files.some((listed) => equals(StoredFileSchema, listed, file));
			if (row.state !== "ACTIVE" && !isRestored) {
				throw new MillraceError(
					"failed_precondition",
					`checkpoint ${uuid} is ${row.state}; only files of an ACTIVE one can be written, and lost ones of a COMPLETED one`,
				);
			}
			const directory = await openStorage(storage).prepare(uuid);
			const entry = fromStoredFile(file);
			await assertInside(directory, join(directory, entry.path));
			await assertInside(directory, join(directory, partsDirectory));
			const known = isRestored ? "whole" : await uploadState(this.#db, row.id, file);
			if (known === "whole" && (await hasSize(join(directory, entry.path), entry.sizeBytes))) {
				return { sizeBytes: entry.sizeBytes, complete: true };
			}
			const note = async (complete: boolean) => {
				if (!isRestored) {
					await this.#db.write((tx) => noteUpload(tx, uuid, file, complete));
				}
			};
			if (known !== "begun") {
				await note(false);
			}
			const part = partFile(directory, entry);
			const sizeBytes = await part.write(offset, data);
			if (sizeBytes < entry.sizeBytes) {
				return { sizeBytes, complete: false };
			}
			await part.finish();
			if (isRestored) {
				await rmdir(join(directory, partsDirectory)).catch(() => {});
			}
			await syncDirectory(dirname(directory));
			await note(true);
			return { sizeBytes, complete: true };
		});
	}

	/** Takes note of files that began to come over the wire, and were then written into the storage by another way. */
	async verifyBegun(uuid: string, files: readonly StoredFile[]): Promise<void> {
		const begun = await listBegun(this.#db, uuid, files);
		if (begun.length === 0) {
			return;
		}
		await this.#alone(uuid, async () => {
			const { storage } = await getCheckpoint(this.#db, uuid);
			for (const file of begun) {
				if (await isWhole(openStorage(storage).directory(uuid), fromStoredFile(file))) {
					await this.#db.write((tx) => noteUpload(tx, uuid, file, true));
				}
			}
		});
	}

	/** Lists the paths of a checkpoint's files that are in the storage. */
	async listStored({ uuid, storage }: Checkpoint): Promise<Set<string>> {
		const files = await openStorage(storage).list(uuid);
		return new Set(files.map(({ path }) => path));
	}

	/** Removes from storage what was noted for these checkpoints. It waits for the end, but not long. */
	async remove(uuids: readonly string[]): Promise<void> {
		const done = new AbortController();
		const removal = this.#inBackground(
			listRemovals(this.#db, uuids)
				.then((noted) => this.#removeAll(noted))
				.finally(() => done.abort()),
		);
		await Promise.race([removal, delay(removalWaitMs, undefined, { signal: done.signal }).catch(() => {})]);
	}

	/** Ends the work. What is still to be removed is removed by the next server. */
	async close(): Promise<void> {
		this.#isClosed = true;
		clearInterval(this.#timer);
		await Promise.all(this.#removals);
	}

	async #sweep(): Promise<void> {
		await this.#db.write((tx) => giveUpOldCheckpoints(tx, tx.now - writingMs));
		await this.#removeAll(await listRemovals(this.#db));
	}

	async #removeAll(removals: readonly Removal[]): Promise<void> {
		for (const removal of removals) {
			if (this.#isClosed) {
				return;
			}
			try {
				await this.#alone(removal.uuid, () => openStorage(removal.storage).delete(removal.uuid, removal.paths));
				await this.#db.write((tx) => forgetRemoval(tx, removal));
			} catch (error) {
				// The storage may come back; the next server, or the next hour, tries again.
				const what = `files of checkpoint ${removal.uuid} are to be removed, and stay in the storage until it can be reached`;
				this.#log(what, isMillraceError(error) ? error.message : error);
			}
		}
	}

	/** Keeps track of a promise until it settles, and tells what goes wrong. */
	#inBackground(work: Promise<void>): Promise<void> {
		const tracked = work
			.catch((error) => this.#log("files of checkpoints that were deleted stay in the storage", error))
			.finally(() => this.#removals.delete(tracked));
		this.#removals.add(tracked);
		return tracked;
	}

	/** Does some work on the files of a checkpoint when what is under way has ended. */
	async #alone<T>(uuid: string, work: () => Promise<T>): Promise<T> {
		const before = this.#busy.get(uuid) ?? Promise.resolve();
		const mine = before.catch(() => {}).then(work);
		this.#busy.set(uuid, mine);
		try {
			return await mine;
		} finally {
			if (this.#busy.get(uuid) === mine) {
				this.#busy.delete(uuid);
			}
		}
	}
}

async function hasSize(path: string, sizeBytes: number): Promise<boolean> {
	const stats = await stat(path).catch(() => undefined);
	return stats?.isFile() === true && stats.size === sizeBytes;
}
