import { readdir, realpath, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { isMillraceError, MillraceError } from "../errors.js";
import { digestFile } from "./digest.js";
import { fileError } from "./file-error.js";
import { type ManifestEntry, resolveManifestPath } from "./manifest.js";

/** A file that is to be uploaded. */
export interface LocalFile extends ManifestEntry {
	/** Where it lies now, as an absolute path. */
	readonly source: string;
}

/**
 * Lists a file, or all files below a directory in the order of their paths, with sizes and digests.
 * Symbolic links are followed; directories without files are left out. A single file's path is its name.
 *
 * Throws `not_found` naming the path if there is nothing there, `invalid_argument` if a directory holds no
 * file, if a link leads back to a directory above it, or if something is neither file nor directory.
 */
export async function listLocalFiles(path: string): Promise<LocalFile[]> {
	const root = resolve(path);
	const found = await walk(root, "", []).catch((cause) => {
		throw isMillraceError(cause, "not_found")
			? new MillraceError("not_found", `there is no file or directory at ${root}`, { cause })
			: cause;
	});
	if (found.length === 0) {
		throw new MillraceError("invalid_argument", `the directory ${root} holds no files; there is nothing to upload`);
	}
	// In the order of code units, which does not depend on the locale.
	found.sort((a, b) => (a.path < b.path ? -1 : 1));
	const files: LocalFile[] = [];
	for (const { path, source } of found) {
		resolveManifestPath(root, path);
		files.push({ path, source, ...(await digestFile(source)) });
	}
	return files;
}

async function walk(
	source: string,
	path: string,
	above: readonly string[],
): Promise<Array<{ path: string; source: string }>> {
	try {
		const stats = await stat(source);
		if (stats.isFile()) {
			return [{ path: path || basename(source), source }];
		}
		if (!stats.isDirectory()) {
			throw new MillraceError("invalid_argument", `${source} is neither a file nor a directory; remove it`);
		}
		const real = await realpath(source);
		if (above.includes(real)) {
			throw new MillraceError("invalid_argument", `the link ${source} leads back to ${real}; remove it`);
		}
		const names = await readdir(source);
		const nested = await Promise.all(
			names.map((name) => walk(join(source, name), path ? `${path}/${name}` : name, [...above, real])),
		);
		return nested.flat();
	} catch (cause) {
		throw fileError(cause, `cannot read ${source}`);
	}
}
