import { MillraceError } from "../../errors.js";
import type { ManifestEntry } from "../../storage/manifest.js";

/** The files of a checkpoint that several workers have written. */
export interface MergedFiles {
	/** All of them, in the order of their paths. */
	readonly files: readonly ManifestEntry[];
	/** By rank, the paths that it brings: of a file that several have, the lowest brings it. */
	readonly paths: readonly ReadonlySet<string>[];
}

/**
 * Puts together the files of all ranks.
 *
 * Throws `invalid_argument`, naming ranks and path, if two have different files of one path, or a file where another
 * has a directory; and if there is no file at all.
 */
export function mergeFiles(ofRanks: readonly (readonly ManifestEntry[])[]): MergedFiles {
	const found = new Map<string, { readonly rank: number; readonly entry: ManifestEntry }>();
	const paths = ofRanks.map(() => new Set<string>());
	for (const [rank, entries] of ofRanks.entries()) {
		for (const entry of entries) {
			const other = found.get(entry.path);
			if (other === undefined) {
				found.set(entry.path, { rank, entry });
				paths[rank]?.add(entry.path);
			} else if (other.entry.sha256 !== entry.sha256 || other.entry.sizeBytes !== entry.sizeBytes) {
				throw new MillraceError(
					"invalid_argument",
					`rank ${other.rank} and rank ${rank} have stored different files as ${JSON.stringify(entry.path)}; ` +
						"give each its own name, such as one with the rank",
				);
			}
		}
	}
	if (found.size === 0) {
		throw new MillraceError("invalid_argument", "no file was stored; a checkpoint needs at least one");
	}
	for (const { rank, entry } of found.values()) {
		for (const above of directoriesAbove(entry.path)) {
			const file = found.get(above);
			if (file !== undefined) {
				throw new MillraceError(
					"invalid_argument",
					`rank ${file.rank} has stored ${JSON.stringify(above)} as a file, and rank ${rank} as a directory; rename one`,
				);
			}
		}
	}
	const files = [...found.values()].map(({ entry }) => entry).sort((a, b) => (a.path < b.path ? -1 : 1));
	return { files, paths };
}

function directoriesAbove(path: string): string[] {
	const parts = path.split("/");
	return parts.slice(1).map((_, i) => parts.slice(0, i + 1).join("/"));
}
