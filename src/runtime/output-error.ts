import { statfsSync } from "node:fs";
import { dirname } from "node:path";
import { MillraceError, messageOf } from "../errors.js";

/** What the file system says where it is full, or must not be written. */
const refusals: Readonly<Record<string, "full" | "closed">> = {
	ENOSPC: "full",
	EDQUOT: "full",
	EROFS: "closed",
	EACCES: "closed",
	EPERM: "closed",
};

/**
 * Returns what to throw where a worker's output file below `directory` could not be written: the file, why, and what
 * to do. `resource_exhausted` where the storage is full, `permission_denied` where it must not be written; anything
 * else as it was thrown.
 */
export function outputError(thrown: unknown, directory: string): unknown {
	const refusal = thrown instanceof Error && "code" in thrown ? refusals[String(thrown.code)] : undefined;
	const path = thrown instanceof Error && "path" in thrown ? String(thrown.path) : undefined;
	const isElsewhere = path !== undefined && !path.startsWith(dirname(directory));
	if (refusal === undefined || isElsewhere) {
		return thrown;
	}
	const place = path ?? `a file below ${directory}`;
	const [code, why, remedy] =
		refusal === "full"
			? (["resource_exhausted", `is full${spaceLeft(directory)}`, "free space on it"] as const)
			: (["permission_denied", "cannot be written", "make it writable"] as const);
	const error = new MillraceError(
		code,
		`the output storage ${why}: ${place}: ${messageOf(thrown)}; ${remedy}, then run the trial again, ` +
			"which goes on after the last commit",
		{ cause: thrown },
	);
	made.add(error);
	return error;
}

/** Unlike what may be forbidden for a single file. */
const environmental = new Set(["ENOSPC", "EDQUOT", "EROFS"]);

const made = new WeakSet<object>();

/**
 * Tells whether an error, or a cause of it, is one that `outputError` made, or says itself that a disk is full or
 * read-only: no record is at fault.
 */
export function isOutputError(thrown: unknown): boolean {
	let error = thrown;
	// Causes may go round in a circle.
	for (let depth = 0; depth < 10 && error instanceof Error; depth++) {
		if (made.has(error) || ("code" in error && environmental.has(String(error.code)))) {
			return true;
		}
		error = error.cause;
	}
	return false;
}

function spaceLeft(directory: string): string {
	try {
		const { bavail, bsize } = statfsSync(directory);
		return ` (${bavail * bsize} bytes are left)`;
	} catch {
		// It may be the directory that could not be made.
		return "";
	}
}
