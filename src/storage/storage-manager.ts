import type { LocalFile } from "./local-files.js";
import type { ManifestEntry } from "./manifest.js";

/** A file that lies in storage, whether or not a manifest names it. */
export interface ListedFile {
	/** The path below the listed directory, with "/" between its parts. */
	readonly path: string;
	/** The size in bytes. */
	readonly sizeBytes: number;
}

/**
 * A place for checkpoint and output files. Each checkpoint and each trial's outputs have a directory of
 * their own in it, named by a UUID.
 *
 * Every method throws `permission_denied`, `resource_exhausted` (a full disk) or `failed_precondition`
 * (the storage is not there, as when it is not mounted), naming the path.
 */
export interface StorageManager {
	/** The absolute path of the storage. */
	readonly root: string;
	/** The absolute path of the directory `uuid`, which may not exist yet. */
	directory(uuid: string): string;
	/** Makes the directory `uuid` where it is missing, and returns its absolute path. */
	prepare(uuid: string): Promise<string>;
	/**
	 * Copies files into the directory `uuid`. When it returns they are on disk, and whole.
	 *
	 * Throws `aborted` if a file changed after it was listed.
	 */
	upload(uuid: string, files: readonly LocalFile[]): Promise<void>;
	/**
	 * Copies what a manifest names from the directory `uuid` to `target`, which is made if need be, and
	 * returns the absolute paths of the copies in the manifest's order. Of a file that has grown, only the
	 * manifest's part is copied. A copy gets its name only when it is whole; one that exists is replaced.
	 *
	 * Throws `not_found` if a file is missing, `data_loss` if it is too short or its digest differs,
	 * `invalid_argument` if a path would leave the directory. All paths are checked before the first copy.
	 */
	download(uuid: string, files: readonly ManifestEntry[], target: string): Promise<string[]>;
	/**
	 * Reads what a manifest says of a file in the directory `uuid`, from byte `offset` on, piece by piece. Nothing is
	 * verified but its length.
	 *
	 * Throws `not_found` if it is missing, `data_loss` if it is shorter, `invalid_argument` if its path would leave the
	 * directory.
	 */
	read(uuid: string, file: ManifestEntry, offset: number): AsyncIterable<Uint8Array>;
	/** Lists the files in the directory `uuid` in the order of their paths; none if it does not exist. */
	list(uuid: string): Promise<ListedFile[]>;
	/**
	 * Removes the directory `uuid` with all that it holds, or only the files with these paths. What is gone
	 * already is no error.
	 */
	delete(uuid: string, paths?: readonly string[]): Promise<void>;
}
