import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { fileError } from "./file-error.js";

/** What was read of a file. */
export interface FileDigest {
	/** How many bytes were read. */
	readonly sizeBytes: number;
	/** Their SHA-256 digest, in lower-case hexadecimal. */
	readonly sha256: string;
}

/**
 * Returns the size and the SHA-256 digest of a file, or of its first `limitBytes` bytes. It reads the
 * file piece by piece.
 *
 * Throws `not_found` if there is no file, `permission_denied` if it may not be read.
 */
export async function digestFile(path: string, limitBytes = Number.POSITIVE_INFINITY): Promise<FileDigest> {
	const hash = createHash("sha256");
	let sizeBytes = 0;
	for await (const piece of readFilePieces(path, limitBytes)) {
		hash.update(piece);
		sizeBytes += piece.length;
	}
	return { sizeBytes, sha256: hash.digest("hex") };
}

/** Reads the first `limitBytes` bytes of a file, piece by piece. Throws as `digestFile`. */
export async function* readFilePieces(path: string, limitBytes: number): AsyncGenerator<Buffer> {
	if (limitBytes <= 0) {
		return;
	}
	try {
		// The end is inclusive.
		const end = Number.isFinite(limitBytes) ? { end: limitBytes - 1 } : {};
		yield* createReadStream(path, { highWaterMark: 1024 * 1024, ...end }) as AsyncIterable<Buffer>;
	} catch (cause) {
		throw fileError(cause, `cannot read ${path}`);
	}
}
