import { open } from "node:fs/promises";
import { MillraceError } from "../errors.js";
import { fileError } from "./file-error.js";
import type { ManifestEntry } from "./manifest.js";

const pieceBytes = 256 * 1024;

/**
 * Reads what a manifest says of the file at `path`, from byte `offset` on, in pieces of at most 256 KiB.
 *
 * Throws `not_found` if it is missing, `data_loss` if it is shorter, before the first piece where that can be seen then.
 */
export async function* readStoredFile(
	path: string,
	{ sizeBytes }: Pick<ManifestEntry, "sizeBytes">,
	offset: number,
): AsyncGenerator<Uint8Array> {
	const shorter = (found: number) =>
		new MillraceError("data_loss", `${path} has ${found} bytes, but ${sizeBytes} were recorded`);
	const file = await open(path, "r").catch((cause) => {
		throw fileError(cause, `cannot read ${path}`);
	});
	try {
		const { size } = await file.stat();
		if (size < sizeBytes) {
			throw shorter(size);
		}
		for (let position = offset; position < sizeBytes; ) {
			const buffer = new Uint8Array(Math.min(pieceBytes, sizeBytes - position));
			const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
			if (bytesRead === 0) {
				throw shorter(position);
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
