import { createHash, type Hash } from "node:crypto";
import type { BigIntStats } from "node:fs";
import { type FileHandle, lstat, mkdir, open, readdir } from "node:fs/promises";
import path from "node:path";
import { create } from "@bufbuild/protobuf";
import { MillraceError } from "../errors.js";
import { type StoredFile, StoredFileSchema } from "../gen/millrace/v1/storage_pb.js";
import { outputError } from "./output-error.js";
import { sweepPart } from "./output-sweep.js";

/** Whose output files these are. */
export interface OutputFilesOptions {
	/** The trial's directory in storage: `<storage>/<output uuid>`. */
	trialDirectory: string;
	trialRunId: number;
	rank: number;
	/** The part, from 0: one processor object. */
	part: number;
	/** The member's UUID, so that the directory is fresh also after a crash. */
	member: string;
}

/** What has been collected of a file, and so may be committed. */
interface Collected {
	readonly size: bigint;
	/** Holds the first `size` bytes. */
	readonly hash: Hash;
	readonly sample: string;
	readonly stat: BigIntStats;
	/** False if the file could change without its times showing it. */
	readonly isSettled: boolean;
}

const SAMPLE_BYTES = 64 * 1024;
const CHUNK_BYTES = 1024 * 1024;
/** File systems keep times more coarsely than a file can be written twice. */
const SETTLED_MS = 2000;

/** The output files of one part: finds what a commit has to name, and guards what earlier ones have named. */
export class OutputFiles {
	/** The part's name below the trial's directory; the paths of its files begin with it. */
	readonly name: string;
	readonly #directory: string;
	readonly #collected = new Map<string, Collected>();
	#created: Promise<unknown> | undefined;

	constructor(options: OutputFilesOptions) {
		const { trialDirectory, trialRunId, rank, part, member } = options;
		this.name = `r${trialRunId}-w${rank}-p${part}-${member}`;
		this.#directory = path.join(trialDirectory, this.name);
	}

	/** Returns the part's directory, which is created by the first call. */
	async directory(): Promise<string> {
		this.#created ??= mkdir(this.#directory, { recursive: true }).catch((error) => {
			throw outputError(error, this.#directory);
		});
		await this.#created;
		return this.#directory;
	}

	/**
	 * Returns the files that are new or have grown since the last call, safely on the disk, for the commit
	 * that follows. With `isFinal`, everything returned so far is read again in full and compared; otherwise
	 * only the beginning and the end of it.
	 *
	 * Errors: failed_precondition if a file that was returned before has shrunk, disappeared or changed;
	 * invalid_argument for a link and for anything else that is no plain file; resource_exhausted or
	 * permission_denied, naming the file, where the storage is full or cannot be written.
	 */
	async collect(isFinal = false): Promise<StoredFile[]> {
		if (this.#created === undefined) return [];
		try {
			return await this.#collectAll(isFinal);
		} catch (error) {
			throw outputError(error, this.#directory);
		}
	}

	async #collectAll(isFinal: boolean): Promise<StoredFile[]> {
		const found = await listFiles(await this.directory());
		for (const file of this.#collected.keys()) {
			if (!found.files.has(file)) throw changed(file, "has disappeared");
		}
		const stored: StoredFile[] = [];
		const newIn = new Set<string>();
		for (const file of [...found.files].sort()) {
			const before = this.#collected.get(file);
			const after = await this.#collectFile(file, before, isFinal);
			if (after === undefined) continue;
			this.#collected.set(file, after);
			if (before?.size === after.size) continue;
			if (before === undefined) newIn.add(path.posix.dirname(file));
			const sha256 = after.hash.copy().digest("hex");
			stored.push(create(StoredFileSchema, { path: `${this.name}/${file}`, sizeBytes: after.size, sha256 }));
		}
		await this.#syncDirectories(newIn);
		return stored;
	}

	/**
	 * Returns what calls of collect have returned, for a part that is given up. Everything returned must be committed
	 * by then.
	 */
	giveUp(): DroppedOutputs {
		return new DroppedOutputs(path.dirname(this.#directory), this.name, [...this.#collected.keys()]);
	}

	/** Undefined if nothing can have changed since `before`. */
	async #collectFile(file: string, before: Collected | undefined, isFinal: boolean): Promise<Collected | undefined> {
		const fullPath = path.join(this.#directory, file);
		if (before?.isSettled && !isFinal && isSameStat(before.stat, await lstat(fullPath, { bigint: true }))) return;
		const handle = await open(fullPath, "r");
		try {
			const stat = await handle.stat({ bigint: true });
			const hash = before?.hash ?? createHash("sha256");
			if (before !== undefined) {
				if (stat.size < before.size) throw changed(file, `shrank from ${before.size} to ${stat.size} bytes`);
				if (isFinal) {
					const again = createHash("sha256");
					await readInto(again, handle, 0n, before.size);
					if (again.digest("hex") !== hash.copy().digest("hex")) throw changed(file, rewrote(before));
				} else if ((await sampleOf(handle, before.size)) !== before.sample) {
					throw changed(file, rewrote(before));
				}
			}
			const begin = before?.size ?? 0n;
			if (stat.size > begin || before === undefined) {
				await readInto(hash, handle, begin, stat.size);
				await handle.sync();
			}
			return {
				size: stat.size,
				hash,
				stat,
				sample: stat.size === before?.size ? before.sample : await sampleOf(handle, stat.size),
				isSettled: Date.now() - Number(stat.ctimeMs) > SETTLED_MS,
			};
		} finally {
			await handle.close();
		}
	}

	/** A new file is safe only when the directories that name it are. */
	async #syncDirectories(directories: ReadonlySet<string>): Promise<void> {
		if (directories.size === 0 || process.platform === "win32") return;
		const toSync = new Set<string>([path.dirname(this.#directory), this.#directory]);
		for (let directory of directories) {
			for (; directory !== "."; directory = path.posix.dirname(directory)) {
				toSync.add(path.join(this.#directory, directory));
			}
		}
		for (const directory of toSync) {
			const handle = await open(directory, "r");
			try {
				await handle.sync();
			} finally {
				await handle.close();
			}
		}
	}
}

/** The committed files of a part that was given up. What it has started may still write others. */
export class DroppedOutputs {
	readonly #trialDirectory: string;
	readonly #name: string;
	readonly #committed: readonly string[];

	/** `committed` are files below the directory `name` of the trial's directory. */
	constructor(trialDirectory: string, name: string, committed: readonly string[]) {
		this.#trialDirectory = trialDirectory;
		this.#name = name;
		this.#committed = committed;
	}

	/** Deletes what is there and not committed. */
	async removeUncommitted(): Promise<void> {
		const committed = this.#committed.map((file) => `${this.#name}/${file}`);
		await sweepPart(this.#trialDirectory, this.#name, new Set(committed));
	}
}

async function listFiles(root: string): Promise<{ files: Set<string> }> {
	const files = new Set<string>();
	const pending = [""];
	for (let below = pending.pop(); below !== undefined; below = pending.pop()) {
		for (const entry of await readdir(path.join(root, below), { withFileTypes: true })) {
			const name = below === "" ? entry.name : `${below}/${entry.name}`;
			if (entry.isDirectory()) pending.push(name);
			else if (entry.isFile()) files.add(name);
			else {
				const kind = entry.isSymbolicLink() ? "a symbolic link" : "no plain file";
				throw new MillraceError(
					"invalid_argument",
					`the output ${name} is ${kind}: only plain files and directories can be kept`,
				);
			}
		}
	}
	return { files };
}

/** Feeds the bytes from `begin` to `end` to the hash. */
async function readInto(hash: Hash, handle: FileHandle, begin: bigint, end: bigint): Promise<void> {
	const length = Number(end - begin);
	const buffer = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, length));
	let done = 0;
	while (done < length) {
		const wanted = Math.min(buffer.length, length - done);
		const { bytesRead } = await handle.read(buffer, 0, wanted, Number(begin) + done);
		if (bytesRead === 0) throw new MillraceError("failed_precondition", "an output file shrank while it was read");
		hash.update(buffer.subarray(0, bytesRead));
		done += bytesRead;
	}
}

/** A digest of the first and the last bytes of a file's first `size` bytes. */
async function sampleOf(handle: FileHandle, size: bigint): Promise<string> {
	const hash = createHash("sha256");
	const sample = BigInt(SAMPLE_BYTES);
	const headEnd = size < sample ? size : sample;
	const tailBegin = size - sample > headEnd ? size - sample : headEnd;
	await readInto(hash, handle, 0n, headEnd);
	await readInto(hash, handle, tailBegin, size);
	return hash.digest("hex");
}

function isSameStat(a: BigIntStats, b: BigIntStats): boolean {
	return a.size === b.size && a.ino === b.ino && a.mtimeNs === b.mtimeNs && a.ctimeNs === b.ctimeNs;
}

function rewrote(before: Collected): string {
	return `changed within its first ${before.size} bytes`;
}

function changed(file: string, how: string): MillraceError {
	return new MillraceError("failed_precondition", `output file ${file} ${how}; a committed file may only grow`);
}
