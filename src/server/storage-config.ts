import { create } from "@bufbuild/protobuf";
import type { CheckpointStorageConfig } from "../experiment-config.js";
import { type Storage, StorageSchema } from "../gen/millrace/v1/storage_pb.js";

/** Makes a storage of a configuration's `checkpoint_storage`; without one it is `otherwise`. */
export function storageOf(config: CheckpointStorageConfig | undefined, otherwise: Storage): Storage {
	switch (config?.type) {
		case "shared_fs":
			return create(StorageSchema, {
				backend: {
					case: "sharedFs",
					value: { hostPath: config.host_path, storagePath: config.storage_path ?? "" },
				},
			});
		case "directory":
			return directoryStorageAt(config.container_path);
		default:
			return otherwise;
	}
}

/** Makes a storage of a directory's absolute path. */
export function directoryStorageAt(path: string): Storage {
	return create(StorageSchema, { backend: { case: "directory", value: { containerPath: path } } });
}
