import { statfsSync } from "node:fs";
import { MillraceError } from "../../errors.js";

/**
 * Returns `unavailable`, with a message that says what to do, if an error of SQLite or of the file system says
 * that the disk of a directory is full; else undefined. Who gets it repeats the call, as for a server that is away.
 */
export function fullDisk(error: unknown, directory: string): MillraceError | undefined {
	const code = error instanceof Error && "code" in error ? String(error.code) : "";
	const saysSo = code === "SQLITE_FULL" || code === "ENOSPC" || code === "EDQUOT";
	// SQLite says no more than "disk I/O error" where the index of its log, which lies in shared memory, cannot grow.
	const maySaySo = code === "SQLITE_IOERR" || code === "SQLITE_CANTOPEN";
	const space = saysSo || maySaySo ? spaceOf(directory) : undefined;
	if (saysSo || (space !== undefined && space.freeBytes < indexBytes)) {
		const left = space === undefined ? "" : ` (${space.freeBytes} of ${space.totalBytes} bytes are left)`;
		const message = `the disk of the data directory ${directory} is full${left}; free space on it`;
		const failure = new MillraceError("unavailable", message, { cause: error });
		made.add(failure);
		return failure;
	}
	return undefined;
}

/** Tells whether an error is one that `fullDisk` made. */
export function isFullDisk(error: unknown): error is MillraceError {
	return made.has(error as object);
}

const made = new WeakSet<object>();

/** By how much the index of SQLite's log grows. */
const indexBytes = 32 * 1024;

function spaceOf(directory: string): { freeBytes: number; totalBytes: number } | undefined {
	try {
		const { bavail, blocks, bsize } = statfsSync(directory);
		return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
	} catch {
		// The directory may be what could not be made.
		return undefined;
	}
}
