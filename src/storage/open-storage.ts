import { MillraceError } from "../errors.js";
import type { Storage } from "../gen/millrace/v1/storage_pb.js";
import { directoryStorage } from "./directory.js";
import { sharedFsStorage } from "./shared-fs.js";
import type { StorageManager } from "./storage-manager.js";

/**
 * Returns the manager of a storage that a server named. Nothing is read or written yet.
 *
 * Throws `invalid_argument` if no backend is set, or its paths are malformed.
 */
export function openStorage(storage: Pick<Storage, "backend"> | undefined): StorageManager {
	switch (storage?.backend.case) {
		case "sharedFs":
			return sharedFsStorage(storage.backend.value);
		case "directory":
			return directoryStorage(storage.backend.value);
		default:
			throw new MillraceError("invalid_argument", "storage names no backend; it needs shared_fs or directory");
	}
}
