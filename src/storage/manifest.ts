import { isAbsolute, join } from "node:path";
import { MillraceError } from "../errors.js";
import type { StoredFile } from "../gen/millrace/v1/storage_pb.js";

/** One file of a manifest: what it must contain to be whole. */
export interface ManifestEntry {
	/** The path below the manifest's directory, with "/" between its parts. */
	readonly path: string;
	/** The size in bytes. The file may have grown past it; what follows does not belong to the entry. */
	readonly sizeBytes: number;
	/** The SHA-256 digest of these bytes, in lower-case hexadecimal. */
	readonly sha256: string;
}

/** Converts an entry from the wire. */
export function fromStoredFile(file: Pick<StoredFile, "path" | "sizeBytes" | "sha256">): ManifestEntry {
	return { path: file.path, sizeBytes: Number(file.sizeBytes), sha256: file.sha256 };
}

/** Converts an entry for the wire. */
export function toStoredFile(entry: ManifestEntry): Pick<StoredFile, "path" | "sizeBytes" | "sha256"> {
	return { path: entry.path, sizeBytes: BigInt(entry.sizeBytes), sha256: entry.sha256 };
}

/**
 * Returns the place of a manifest's path below a directory.
 *
 * Throws `invalid_argument` if the path is empty, absolute, or leads out of the directory.
 */
export function resolveManifestPath(directory: string, path: string): string {
	const parts = path.split("/");
	const leavesDirectory = parts.some((part) => part === "" || part === "." || part === "..");
	if (leavesDirectory || isAbsolute(path) || path.includes("\0") || path.includes("\\")) {
		throw new MillraceError(
			"invalid_argument",
			`the file path ${JSON.stringify(path)} does not stay below its directory; use a relative path with "/" and without ".."`,
		);
	}
	return join(directory, ...parts);
}
