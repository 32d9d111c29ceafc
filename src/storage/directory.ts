import { mkdir, readdir, rm, stat } from "node:fs/promises";
import { dirname, join, relative, resolve, sep } from "node:path";
import { isMillraceError, MillraceError } from "../errors.js";
import type { DirectoryStorage } from "../gen/millrace/v1/storage_pb.js";
import { assertInside } from "./assert-inside.js";
import { copyVerified } from "./copy-verified.js";
import { fileError } from "./file-error.js";
import type { LocalFile } from "./local-files.js";
import { type ManifestEntry, resolveManifestPath } from "./manifest.js";
import { readStoredFile } from "./read-file.js";
import type { ListedFile, StorageManager } from "./storage-manager.js";
import { syncDirectory } from "./sync-directory.js";

/** Storage in a directory that every worker sees under the same path. The directory has to exist. */
export function directoryStorage(storage: Pick<DirectoryStorage, "containerPath">): StorageManager {
	return storageBelow(storage.containerPath, storage.containerPath, "container_path");
}

/**
 * Storage below `root`. Of that path, `mount` must exist before anything is written, so that files never
 * land beside a file system that is not mounted; `field` is what the user calls it.
 */
export function storageBelow(root: string, mount: string, field: string): StorageManager {
	const absoluteRoot = resolve(root);
	const directory = (uuid: string) => resolveManifestPath(absoluteRoot, uuid);
	return {
		root: absoluteRoot,
		directory,
		async prepare(uuid) {
			await assertMounted(mount, field);
			const path = directory(uuid);
			await mkdir(path, { recursive: true }).catch((cause) => {
				throw fileError(cause, `cannot create ${path}`);
			});
			return path;
		},
		async upload(uuid, files) {
			await assertMounted(mount, field);
			await upload(directory(uuid), files);
		},
		async download(uuid, files, target) {
			await assertMounted(mount, field);
			return download(directory(uuid), files, resolve(target));
		},
		async *read(uuid, file, offset) {
			await assertMounted(mount, field);
			const path = resolveManifestPath(directory(uuid), file.path);
			await assertInside(directory(uuid), path);
			yield* readStoredFile(path, file, offset);
		},
		async list(uuid) {
			await assertMounted(mount, field);
			return list(directory(uuid));
		},
		async delete(uuid, paths) {
			await assertMounted(mount, field);
			const doomed = paths?.map((path) => resolveManifestPath(directory(uuid), path)) ?? [directory(uuid)];
			for (const path of doomed) {
				// A link itself is removed, but nothing behind one.
				await assertInside(directory(uuid), dirname(path));
				await rm(path, { recursive: true, force: true }).catch((cause) => {
					if (!cannotExist.includes(cause.code)) {
						throw fileError(cause, `cannot delete ${path}`);
					}
				});
			}
		},
	};
}

/** What the system says of a path that leads through a file, or is too long: there is nothing to delete. */
const cannotExist = ["ENOTDIR", "ENAMETOOLONG"];

async function assertMounted(mount: string, field: string): Promise<void> {
	const stats = await stat(mount).catch(() => undefined);
	if (!stats?.isDirectory()) {
		throw new MillraceError(
			"failed_precondition",
			`the storage's ${field} ${mount} is not a directory on this machine; create or mount it`,
		);
	}
}

async function upload(directory: string, files: readonly LocalFile[]): Promise<void> {
	const parents = new Set<string>([dirname(directory), directory]);
	for (const file of files) {
		const target = resolveManifestPath(directory, file.path);
		for (let parent = dirname(target); !parents.has(parent); parent = dirname(parent)) {
			parents.add(parent);
		}
		await copyVerified(file.source, target, file).catch((cause) => {
			throw isMillraceError(cause, "data_loss")
				? new MillraceError("aborted", `${file.source} changed while it was uploaded; upload it again`, { cause })
				: cause;
		});
	}
	// A file is durable only with the directories that lead to it.
	for (const parent of parents) {
		await syncDirectory(parent);
	}
}

async function download(directory: string, files: readonly ManifestEntry[], target: string): Promise<string[]> {
	const copies = files.map((entry) => ({
		entry,
		source: resolveManifestPath(directory, entry.path),
		target: resolveManifestPath(target, entry.path),
	}));
	await mkdir(target, { recursive: true }).catch((cause) => {
		throw fileError(cause, `cannot create ${target}`);
	});
	for (const copy of copies) {
		await copyVerified(copy.source, copy.target, copy.entry);
	}
	return copies.map((copy) => copy.target);
}

async function list(directory: string): Promise<ListedFile[]> {
	try {
		const entries = await readdir(directory, { recursive: true, withFileTypes: true });
		const files: ListedFile[] = [];
		for (const entry of entries) {
			if (entry.isFile()) {
				const path = join(entry.parentPath, entry.name);
				files.push({ path: relative(directory, path).split(sep).join("/"), sizeBytes: (await stat(path)).size });
			}
		}
		return files.sort((a, b) => (a.path < b.path ? -1 : 1));
	} catch (cause) {
		const failure = fileError(cause, `cannot list ${directory}`);
		if (failure.code === "not_found") {
			return [];
		}
		throw failure;
	}
}
