import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { sharedFsStorage } from "../../src/storage/shared-fs.js";
import { tempDir } from "../support/temp-dir.js";
import { storageManagerSuite } from "./storage-manager-suite.js";

describe("sharedFsStorage", { timeout: 30_000 }, () => {
	storageManagerSuite(() => {
		const storage = sharedFsStorage({ hostPath: tempDir(), storagePath: "models/production" });
		return storage;
	});

	it("keeps files below storage_path below host_path", () => {
		const directory = (storagePath: string) => sharedFsStorage({ hostPath: "/mnt/fs", storagePath }).directory("u-1");
		assert.equal(directory("models"), "/mnt/fs/models/u-1");
		assert.equal(directory(""), "/mnt/fs/u-1");
		assert.equal(directory("/mnt/fs/models"), "/mnt/fs/models/u-1");
	});

	it("throws invalid_argument when storage_path leads out of host_path", () => {
		for (const storagePath of ["..", "a/../../b", "/elsewhere", "/mnt/fs2"]) {
			assert.throws(() => sharedFsStorage({ hostPath: "/mnt/fs", storagePath }), {
				code: "invalid_argument",
				message: /leads out of host_path \/mnt\/fs/,
			});
		}
	});

	it("throws failed_precondition when host_path is not mounted, and makes nothing", async () => {
		const hostPath = join(tempDir(), "mnt");
		const storage = sharedFsStorage({ hostPath, storagePath: "models" });
		const expected = {
			code: "failed_precondition",
			message: /host_path .*mnt is not a directory on this machine/,
		};
		await assert.rejects(storage.upload("u-1", []), expected);
		await assert.rejects(storage.prepare("u-1"), expected);
		assert.equal(existsSync(hostPath), false);
	});
});
