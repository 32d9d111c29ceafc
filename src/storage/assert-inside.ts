import { realpath } from "node:fs/promises";
import { dirname, sep } from "node:path";
import { MillraceError } from "../errors.js";
import { fileError } from "./file-error.js";

/**
 * Throws `failed_precondition` if a path below a directory leads out of it through a symbolic link. What is missing
 * of the path leads nowhere.
 */
export async function assertInside(directory: string, path: string): Promise<void> {
	const root = await existing(directory);
	const place = await existing(path);
	const wouldContain = place === root || place.startsWith(root + sep) || root.startsWith(place + sep);
	if (!wouldContain) {
		throw new MillraceError(
			"failed_precondition",
			`${path} leads through a symbolic link to ${place}, out of ${directory}; replace the link by what it leads to`,
		);
	}
}

/** Returns what a path, or the nearest directory above it that exists, really is. */
async function existing(path: string): Promise<string> {
	try {
		return await realpath(path);
	} catch (cause) {
		const code = (cause as NodeJS.ErrnoException).code;
		if ((code === "ENOENT" || code === "ENOTDIR" || code === "ENAMETOOLONG") && dirname(path) !== path) {
			return existing(dirname(path));
		}
		throw fileError(cause, `cannot look at ${path}`);
	}
}
