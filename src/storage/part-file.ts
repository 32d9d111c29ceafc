import { createHash } from "node:crypto";
import { constants, mkdir, open, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isMillraceError, MillraceError } from "../errors.js";
import { digestFile } from "./digest.js";
import { fileError } from "./file-error.js";
import { type ManifestEntry, resolveManifestPath } from "./manifest.js";
import { syncDirectory } from "./sync-directory.js";

/** The name, in a directory of files, of the directory of those that are not whole yet. No file may lie in it. */
export const partsDirectory = ".millrace-parts";

/** A file that comes piece by piece, and gets its name only when it is whole. */
export interface PartFile {
	/** Returns how many bytes are there, which may be those of an earlier attempt. */
	sizeBytes(): Promise<number>;
	/**
	 * Writes a piece that begins at `offset`; what is there of it already is not written again. Returns how many bytes
	 * are there then.
	 *
	 * Throws `out_of_range` if bytes before it are missing.
	 */
	write(offset: number, data: Uint8Array): Promise<number>;
	/**
	 * Verifies the whole by its digest, and gives it its name, which replaces a file that has it. When it returns, the
	 * file is on disk.
	 *
	 * Throws `data_loss` if the digest differs: then nothing is there any more, and the file starts anew.
	 */
	finish(): Promise<void>;
}

/** Tells whether a file of this path would lie among the parts. */
export function isPartPath(path: string): boolean {
	return path.split("/")[0] === partsDirectory;
}

/**
 * Returns the part of a file of `directory`. It is found again by path, size and digest, so that an upload or a
 * download that was broken off goes on where it was.
 */
export function partFile(directory: string, entry: ManifestEntry): PartFile {
	const { path, sizeBytes, sha256 } = entry;
	const target = resolveManifestPath(directory, path);
	const name = createHash("sha256")
		.update(JSON.stringify([path, sizeBytes, sha256]))
		.digest("hex");
	const part = join(directory, partsDirectory, name);
	const size = async () => {
		try {
			return (await stat(part)).size;
		} catch (cause) {
			const failure = fileError(cause, `cannot look at ${part}`);
			if (failure.code === "not_found") {
				return 0;
			}
			throw failure;
		}
	};
	return {
		sizeBytes: size,
		async write(offset, data) {
			const there = await size();
			if (offset > there) {
				throw new MillraceError(
					"out_of_range",
					`the piece of ${JSON.stringify(path)} begins at byte ${offset}, but only ${there} are there; go on with byte ${there}`,
				);
			}
			const fresh = data.subarray(there - offset);
			if (fresh.length > 0) {
				await append(part, there, fresh);
			}
			return there + fresh.length;
		},
		async finish() {
			if (sizeBytes === 0) {
				await append(part, 0, new Uint8Array());
			}
			const found = await digestFile(part);
			if (found.sizeBytes !== sizeBytes || found.sha256 !== sha256) {
				await rm(part, { force: true });
				throw new MillraceError(
					"data_loss",
					`${target} is corrupted: ${found.sizeBytes} bytes with the SHA-256 digest ${found.sha256} came, ` +
						`but ${sizeBytes} with ${sha256} were recorded`,
				);
			}
			await nameIt(part, target, directory);
		},
	};
}

/** Tells whether a file of `directory` is there as a whole, by its size and digest. */
export async function isWhole(directory: string, { path, sizeBytes, sha256 }: ManifestEntry): Promise<boolean> {
	const target = resolveManifestPath(directory, path);
	try {
		const stats = await stat(target);
		return stats.isFile() && stats.size === sizeBytes && (await digestFile(target)).sha256 === sha256;
	} catch (error) {
		if (isMillraceError(error) && error.code !== "not_found") {
			throw error;
		}
		return false;
	}
}

async function append(part: string, offset: number, data: Uint8Array): Promise<void> {
	try {
		await mkdir(dirname(part), { recursive: true });
		// Neither truncated nor appended to: two who write the same piece at once write the same bytes to the same place.
		const file = await open(part, constants.O_CREAT | constants.O_RDWR);
		try {
			for (let written = 0; written < data.length; ) {
				written += (await file.write(data, written, data.length - written, offset + written)).bytesWritten;
			}
		} finally {
			await file.close();
		}
	} catch (cause) {
		throw fileError(cause, `cannot write ${part}`);
	}
}

async function nameIt(part: string, target: string, directory: string): Promise<void> {
	try {
		const file = await open(part, "r+");
		try {
			await file.sync();
		} finally {
			await file.close();
		}
		await mkdir(dirname(target), { recursive: true });
		await rename(part, target);
	} catch (cause) {
		throw fileError(cause, `cannot give ${target} its name`);
	}
	// A file is durable only with the directories that lead to it.
	await syncDirectory(directory);
	for (let parent = dirname(target); parent.length > directory.length; parent = dirname(parent)) {
		await syncDirectory(parent);
	}
}
