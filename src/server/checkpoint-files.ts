import { open, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { isMillraceError, MillraceError } from "../errors.js";
import { type Checkpoint, CheckpointState } from "../gen/millrace/v1/checkpoint_pb.js";
import type { StoredFile } from "../gen/millrace/v1/storage_pb.js";
import type { ErrorLog } from "../rpc/status.js";
import { fileError } from "../storage/file-error.js";
import { fromStoredFile, type ManifestEntry, resolveManifestPath } from "../storage/manifest.js";
import { openStorage } from "../storage/open-storage.js";
import { partFile } from "../storage/part-file.js";
import { syncDirectory } from "../storage/sync-directory.js";
import { forgetRemoval, giveUpOldCheckpoints, listRemovals, type Removal } from "./db/checkpoint-removals.js";
import { noteUpload, uploadState } from "./db/checkpoint-uploads.js";
import { getCheckpoint, getCheckpointRow } from "./db/checkpoints.js";
import type { Database } from "./db/database.js";
import { toStorage } from "./db/json-column.js";

const pieceBytes = 1024 * 1024;
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
	 * Reads a file of a checkpoint from `offset` on, in pieces of at most 1 MiB.
	 *
	 * Throws as ReadCheckpointFile says.
	 */
	async *read(uuid: string, path: string, offset: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
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
		const manager = openStorage(storage);
		await manager.assertReachable();
		yield* readRest(resolveManifestPath(manager.directory(uuid), path), entry, offset, signal);
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
			if (row.state !== "ACTIVE") {
				throw new MillraceError(
					"failed_precondition",
					`checkpoint ${uuid} is ${row.state}; only files of an ACTIVE one can be written`,
				);
			}
			const manager = openStorage(toStorage(row.storage));
			const directory = await manager.prepare(uuid);
			const entry = fromStoredFile(file);
			const known = await uploadState(this.#db, row.id, file);
			if (known === "whole" && (await hasSize(join(directory, entry.path), entry.sizeBytes))) {
				return { sizeBytes: entry.sizeBytes, complete: true };
			}
			if (known !== "begun") {
				await this.#db.write((tx) => noteUpload(tx, uuid, file, false));
			}
			const part = partFile(directory, entry);
			const sizeBytes = await part.write(offset, data);
			if (sizeBytes < entry.sizeBytes) {
				return { sizeBytes, complete: false };
			}
			await part.finish();
			await syncDirectory(dirname(directory));
			await this.#db.write((tx) => noteUpload(tx, uuid, file, true));
			return { sizeBytes, complete: true };
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

async function* readRest(
	path: string,
	{ sizeBytes }: ManifestEntry,
	offset: number,
	signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
	const shorter = (found: string) =>
		new MillraceError("data_loss", `${path} ${found}, but ${sizeBytes} bytes were recorded; the file is damaged`);
	const file = await open(path, "r").catch((cause) => {
		const failure = fileError(cause, `cannot read ${path}`);
		throw failure.code === "not_found" ? shorter("is gone from the storage") : failure;
	});
	try {
		const stats = await file.stat();
		if (!stats.isFile() || stats.size < sizeBytes) {
			throw shorter(stats.isFile() ? `has ${stats.size} bytes` : "is not a file");
		}
		for (let position = offset; position < sizeBytes && !signal.aborted; ) {
			const buffer = new Uint8Array(Math.min(pieceBytes, sizeBytes - position));
			const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
			if (bytesRead === 0) {
				throw shorter(`ended after ${position} bytes while it was read`);
			}
			position += bytesRead;
			yield buffer.subarray(0, bytesRead);
		}
	} catch (cause) {
		throw fileError(cause, `cannot read ${path}`);
	} finally {
		await file.close();
	}
}
