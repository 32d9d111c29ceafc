import { resolve, sep } from "node:path";
import { MillraceError } from "../errors.js";
import type { SharedFsStorage } from "../gen/millrace/v1/storage_pb.js";
import { storageBelow } from "./directory.js";
import type { StorageManager } from "./storage-manager.js";

/**
 * Storage on a file system that every node mounts at `hostPath`, which has to exist; `storagePath` below
 * it is made if need be. An absolute `storagePath` is allowed if it lies below `hostPath`, as in Determined.
 *
 * Throws `invalid_argument` if `storagePath` leads out of `hostPath`.
 */
export function sharedFsStorage(storage: Pick<SharedFsStorage, "hostPath" | "storagePath">): StorageManager {
	const mount = resolve(storage.hostPath);
	const root = resolve(mount, storage.storagePath);
	if (root !== mount && !root.startsWith(mount.endsWith(sep) ? mount : mount + sep)) {
		throw new MillraceError(
			"invalid_argument",
			`storage_path ${storage.storagePath} leads out of host_path ${storage.hostPath}; choose a path below it`,
		);
	}
	return storageBelow(root, mount, "host_path");
}
