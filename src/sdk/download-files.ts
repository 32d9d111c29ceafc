import { mkdir, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { isMillraceError } from "../errors.js";
import type { Storage } from "../gen/millrace/v1/storage_pb.js";
import { fileError } from "../storage/file-error.js";
import { type ManifestEntry, resolveManifestPath } from "../storage/manifest.js";
import { openStorage } from "../storage/open-storage.js";
import { isWhole, partFile, partsDirectory } from "../storage/part-file.js";
import type { Connection } from "./connection.js";

/**
 * Which way files take between this machine and the storage: "direct", "master" (through the server), or "auto":
 * directly where the storage is reached from here, else through the server.
 *
 * Python: DownloadMode
 */
export type TransferMode = "auto" | "direct" | "master";

/** Files of a checkpoint, and where they are. */
export interface CheckpointContent {
	readonly uuid: string;
	readonly storage: Storage | undefined;
	readonly files: readonly ManifestEntry[];
}

/** One of the ways to the content of a file, from byte `offset` on. */
type Source = (file: ManifestEntry, offset: number) => AsyncIterable<Uint8Array>;

/**
 * Copies files of a checkpoint to a directory, which is made if need be; files of the same paths are replaced. Each is
 * verified by size and digest, and gets its name only when it is whole. What an earlier attempt has left in the directory
 * is not fetched again.
 *
 * Throws `not_found` if a file is missing in storage, `data_loss` if it is corrupted, `failed_precondition` if the
 * storage is not reached, `invalid_argument` if a path would leave the directory.
 */
export async function downloadFiles(
	connection: Connection,
	content: CheckpointContent,
	target: string,
	mode: TransferMode = "auto",
): Promise<void> {
	for (const { path } of content.files) {
		resolveManifestPath(target, path);
	}
	const direct: Source = (file, offset) => openStorage(content.storage).read(content.uuid, file, offset);
	const master: Source = (file, offset) => readFromServer(connection, content.uuid, file, offset);
	const sources = {
		direct: async () => [direct],
		master: async () => [master],
		auto: async () => ((await isReached(content)) ? [direct, master] : [master, direct]),
	};
	await mkdir(target, { recursive: true }).catch((cause) => {
		throw fileError(cause, `cannot create the directory ${target}; give a directory, or a path where one can be made`);
	});
	const ways = await sources[mode]();
	for (const file of content.files) {
		if (!(await isWhole(target, file))) {
			await fetchByAny(ways, file, target);
		}
	}
	// Another process may be downloading to the same directory; then its parts are still there.
	await rmdir(join(target, partsDirectory)).catch(() => {});
}

/**
 * Tells whether this machine reaches the storage, and not another directory of the same name: all the files are there,
 * as long as they have to be. What they contain is verified when they are copied.
 */
async function isReached({ uuid, storage, files }: CheckpointContent): Promise<boolean> {
	try {
		const sizes = new Map((await openStorage(storage).list(uuid)).map(({ path, sizeBytes }) => [path, sizeBytes]));
		return files.every(({ path, sizeBytes }) => (sizes.get(path) ?? -1) >= sizeBytes);
	} catch {
		return false;
	}
}

/** Where one way leads to nothing, another may. */
const otherWayCodes = ["not_found", "data_loss", "failed_precondition", "permission_denied"];

async function fetchByAny(ways: readonly Source[], file: ManifestEntry, target: string): Promise<void> {
	let first: unknown;
	for (const source of ways) {
		try {
			await fetchFile(source, file, target);
			return;
		} catch (error) {
			first ??= error;
			if (!isMillraceError(error) || !otherWayCodes.includes(error.code)) {
				throw error;
			}
		}
	}
	throw first;
}

async function fetchFile(source: Source, file: ManifestEntry, target: string, attempt = 1): Promise<void> {
	const part = partFile(target, file);
	const start = await part.sizeBytes();
	try {
		let position = start;
		for await (const data of source(file, position)) {
			await part.write(position, data);
			position += data.length;
		}
		await part.finish();
	} catch (error) {
		const isOfPart = isMillraceError(error) && ["not_found", "out_of_range", "data_loss"].includes(error.code);
		// Another process that downloads the same to the same place may have been faster.
		if (isOfPart && (await isWhole(target, file))) {
			return;
		}
		const isGone = isMillraceError(error, "out_of_range");
		// What an earlier attempt had left was not right.
		const wasWrong = isMillraceError(error, "data_loss") && start > 0 && (await part.sizeBytes()) === 0;
		if (attempt >= attempts || !(isGone || wasWrong)) {
			throw error;
		}
		await fetchFile(source, file, target, attempt + 1);
	}
}

const attempts = 3;

/** Reads a file through the server. Where the connection breaks, it goes on with the next byte. */
async function* readFromServer(
	{ checkpoints }: Connection,
	checkpointUuid: string,
	{ path }: ManifestEntry,
	offset: number,
): AsyncGenerator<Uint8Array> {
	let position = offset;
	for (;;) {
		const start = position;
		try {
			for await (const { data } of checkpoints.readCheckpointFile({ checkpointUuid, path, offset: BigInt(position) })) {
				position += data.length;
				yield data;
			}
			return;
		} catch (error) {
			// The server ends a stream, too, of which nothing was taken for long. A call that brought nothing has waited for it
			// as long as any.
			const isBroken = isMillraceError(error, "unavailable") || isMillraceError(error, "resource_exhausted");
			if (!isBroken || position === start) {
				throw error;
			}
		}
	}
}
