import { mkdir, open, readdir, realpath, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileError } from "../../storage/file-error.js";
import { type LocalFile, listLocalFiles } from "../../storage/local-files.js";
import { resolveManifestPath } from "../../storage/manifest.js";
import type { StorageManager } from "../../storage/storage-manager.js";

/**
 * A directory in storage, beside the files of a checkpoint, in which one worker writes its own of them. They are moved
 * to their places once it is known that no other worker has different ones there.
 */
export class StagedFiles {
	/** The directory, which exists. */
	readonly path: string;
	readonly #storage: StorageManager;
	readonly #uuid: string;

	private constructor(storage: StorageManager, uuid: string, path: string) {
		this.#storage = storage;
		this.#uuid = uuid;
		this.path = path;
	}

	/** Makes the directory. */
	static async create(storage: StorageManager, uuid: string, rank: number): Promise<StagedFiles> {
		const path = join(await storage.prepare(uuid), `.millrace-rank-${rank}`);
		await mkdir(path).catch((cause) => {
			throw fileError(cause, `cannot create ${path}`);
		});
		return new StagedFiles(storage, uuid, path);
	}

	/** Lists what was written, with sizes and digests. Nothing at all is no error here: other workers may have files. */
	async list(): Promise<LocalFile[]> {
		const names = await readdir(this.path);
		return names.length === 0 ? [] : listLocalFiles(this.path);
	}

	/** Moves files to their places. When it returns they are on disk, and whole. */
	async place(files: readonly LocalFile[]): Promise<void> {
		const own: LocalFile[] = [];
		const linked: LocalFile[] = [];
		const root = await realpath(this.path);
		for (const file of files) {
			const isOwn = (await realpath(file.source)) === resolveManifestPath(root, file.path);
			(isOwn ? own : linked).push(file);
		}
		// What a link leads to is the user's, and stays where it is.
		if (linked.length > 0) {
			await this.#storage.upload(this.#uuid, linked);
		}
		const directory = this.#storage.directory(this.#uuid);
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

	/** Removes what was not moved. */
	async remove(): Promise<void> {
		// What stays is in no list, and goes with the checkpoint.
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
