import { mkdir, mkdtemp, open, readdir, realpath, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileError } from "../../storage/file-error.js";
import { type LocalFile, listLocalFiles } from "../../storage/local-files.js";
import { resolveManifestPath } from "../../storage/manifest.js";
import type { CheckpointPlace } from "./checkpoint-place.js";

/**
 * A directory in which one worker writes its own files of a checkpoint. They are brought to their places once it is
 * known that no other worker has different ones there. Where the storage is seen, it is in there, and they are moved.
 */
export class StagedFiles {
	/** The directory, which exists. */
	readonly path: string;
	readonly #place: CheckpointPlace;

	private constructor(place: CheckpointPlace, path: string) {
		this.#place = place;
		this.path = path;
	}

	/** Makes the directory. */
	static async create(place: CheckpointPlace, rank: number): Promise<StagedFiles> {
		if (!place.isSeen) {
			const prefix = join(tmpdir(), "millrace-checkpoint-");
			const path = await mkdtemp(prefix).catch((cause) => {
				throw fileError(cause, `cannot create a directory at ${prefix}`);
			});
			return new StagedFiles(place, path);
		}
		const path = join(place.storage.directory(place.uuid), `.millrace-rank-${rank}`);
		await mkdir(path).catch((cause) => {
			throw fileError(cause, `cannot create ${path}`);
		});
		return new StagedFiles(place, path);
	}

	/** Lists what was written, with sizes and digests. Nothing at all is no error here: other workers may have files. */
	async list(): Promise<LocalFile[]> {
		const names = await readdir(this.path);
		return names.length === 0 ? [] : listLocalFiles(this.path);
	}

	/** Brings files to their places. When it returns they are on disk, and whole. */
	async bring(files: readonly LocalFile[]): Promise<void> {
		if (!this.#place.isSeen) {
			await this.#place.copy(files);
			return;
		}
		const own: LocalFile[] = [];
		const linked: LocalFile[] = [];
		const root = await realpath(this.path);
		for (const file of files) {
			const isOwn = (await realpath(file.source)) === resolveManifestPath(root, file.path);
			(isOwn ? own : linked).push(file);
		}
		// What a link leads to is the user's, and stays where it is.
		if (linked.length > 0) {
			await this.#place.copy(linked);
		}
		const directory = this.#place.storage.directory(this.#place.uuid);
		const parents = new Set([dirname(directory), directory]);
		for (const file of own) {
			const target = resolveManifestPath(directory, file.path);
			await move(file.source, target);
			for (let parent = dirname(target); !parents.has(parent); parent = dirname(parent)) {
				parents.add(parent);
			}
		}
		for (const parent of parents) {
			await sync(parent);
		}
	}

	/** Removes what was not brought. */
	async remove(): Promise<void> {
		// What stays is in no list, and goes with the checkpoint, or with what the system clears.
		await rm(this.path, { recursive: true, force: true }).catch(() => {});
	}
}

async function move(source: string, target: string): Promise<void> {
	try {
		await sync(source);
		await mkdir(dirname(target), { recursive: true });
		await rename(source, target);
	} catch (cause) {
		throw fileError(cause, `cannot move ${source} to ${target}`);
	}
}

async function sync(path: string): Promise<void> {
	try {
		const handle = await open(path, "r");
		try {
			await handle.sync();
		} finally {
			await handle.close();
		}
	} catch (cause) {
		throw fileError(cause, `cannot sync ${path}`);
	}
}
