import { readdir, rmdir, unlink } from "node:fs/promises";
import path from "node:path";

const OF_RUN = /^r(\d+)-(?:w\d+-p\d+|probe)-/;

/**
 * Deletes what older runs left in a trial's directory without committing it: below `r<k>-…` with k before
 * `currentRun`, the files that `manifestPaths` does not name and the directories that are empty then.
 * Nothing else is touched; links are not followed. A directory that does not exist has nothing to sweep.
 *
 * @param directory The trial's directory in storage: `<storage>/<output uuid>`.
 * @param manifestPaths The paths of all committed files, below `directory`, with "/" between their parts.
 * @returns The paths of the deleted files, below `directory`.
 */
export async function sweepOutputs(
	directory: string,
	manifestPaths: Iterable<string>,
	currentRun: number,
): Promise<string[]> {
	const kept = new Set(manifestPaths);
	const deleted: string[] = [];
	for (const entry of await list(directory)) {
		const run = OF_RUN.exec(entry.name)?.[1];
		if (entry.isDirectory() && run !== undefined && Number(run) < currentRun) {
			deleted.push(...(await sweepPart(directory, entry.name, kept)));
		}
	}
	return deleted;
}

/**
 * Deletes the files of one part that `kept` does not name, and the directories that are empty then.
 *
 * @param directory The trial's directory.
 * @param part The part's directory below it, which need not exist.
 * @param kept Paths below `directory`, with "/" between their parts.
 * @returns The paths of the deleted files, below `directory`.
 */
export async function sweepPart(directory: string, part: string, kept: ReadonlySet<string>): Promise<string[]> {
	const deleted: string[] = [];

	async function sweep(below: string): Promise<void> {
		for (const entry of await list(path.join(directory, below))) {
			const name = `${below}/${entry.name}`;
			if (entry.isDirectory()) await sweep(name);
			else if (!kept.has(name)) {
				await ignoring("ENOENT", unlink(path.join(directory, name)));
				deleted.push(name);
			}
		}
		// Another worker may sweep at the same time, or a straggler write: what is not empty stays.
		await ignoring("ENOENT", ignoring("ENOTEMPTY", rmdir(path.join(directory, below))));
	}

	await sweep(part);
	return deleted;
}

async function list(directory: string) {
	return (await ignoring("ENOENT", readdir(directory, { withFileTypes: true }))) ?? [];
}

async function ignoring<T>(code: string, call: Promise<T>): Promise<T | undefined> {
	try {
		return await call;
	} catch (error) {
		if (error instanceof Error && "code" in error && error.code === code) return undefined;
		throw error;
	}
}
