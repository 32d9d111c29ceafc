import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { StorageSchema } from "../../src/gen/millrace/v1/storage_pb.js";
import { openStorage } from "../../src/storage/open-storage.js";

describe("openStorage", () => {
	it("resolves the root of either backend", () => {
		const sharedFs = create(StorageSchema, {
			backend: { case: "sharedFs", value: { hostPath: "/mnt", storagePath: "models" } },
		});
		const directory = create(StorageSchema, { backend: { case: "directory", value: { containerPath: "/data" } } });
		assert.equal(openStorage(sharedFs).root, "/mnt/models");
		assert.equal(openStorage(directory).root, "/data");
	});

	it("throws invalid_argument when no backend is set", () => {
		for (const storage of [create(StorageSchema), undefined]) {
			assert.throws(() => openStorage(storage), { code: "invalid_argument", message: /names no backend/ });
		}
	});
});
