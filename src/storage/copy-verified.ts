import { createHash, randomUUID } from "node:crypto";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { MillraceError } from "../errors.js";
import { readFilePieces } from "./digest.js";
import { fileError } from "./file-error.js";
import type { ManifestEntry } from "./manifest.js";

/**
 * Copies the first `entry.sizeBytes` bytes of `source` to `target`, and makes them durable. The target
 * gets its name only when size and digest are right, and replaces a file that has the name.
 *
 * Throws `data_loss` if the source is too short or its digest differs, `not_found` if it is missing.
 */
export async function copyVerified(source: string, target: string, entry: ManifestEntry): Promise<void> {
	const temporary = join(dirname(target), `.${basename(target)}.${randomUUID()}.part`);
	try {
		await mkdir(dirname(target), { recursive: true });
		await copyPieces(source, temporary, entry);
		await rename(temporary, target);
	} catch (cause) {
		await rm(temporary, { force: true });
		throw fileError(cause, `cannot copy ${source} to ${target}`);
	}
}

async function copyPieces(source: string, target: string, entry: ManifestEntry): Promise<void> {
	const hash = createHash("sha256");
	let sizeBytes = 0;
	const file = await open(target, "wx");
	try {
		for await (const piece of readFilePieces(source, entry.sizeBytes)) {
			hash.update(piece);
			sizeBytes += piece.length;
			await file.writeFile(piece);
		}
		if (sizeBytes < entry.sizeBytes) {
			throw new MillraceError("data_loss", `${source} has ${sizeBytes} bytes, but ${entry.sizeBytes} were recorded`);
		}
		const sha256 = hash.digest("hex");
		if (sha256 !== entry.sha256) {
			throw new MillraceError(
				"data_loss",
				`${source} is corrupted: its SHA-256 digest is ${sha256}, but ${entry.sha256} was recorded`,
			);
		}
		await file.sync();
	} finally {
		await file.close();
	}
}
