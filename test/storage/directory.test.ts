import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { directoryStorage } from "../../src/storage/directory.js";
import { tempDir } from "../support/temp-dir.js";
import { storageManagerSuite } from "./storage-manager-suite.js";

describe("directoryStorage", { timeout: 30_000 }, () => {
	storageManagerSuite(() => directoryStorage({ containerPath: tempDir() }));

	it("keeps a UUID's files in the directory of its name", () => {
		assert.equal(directoryStorage({ containerPath: "/mnt/models" }).directory("u-1"), "/mnt/models/u-1");
	});

	it("throws failed_precondition when the directory does not exist, and does not make it", async () => {
		const containerPath = join(tempDir(), "not-mounted");
		const storage = directoryStorage({ containerPath });
		const expected = {
			code: "failed_precondition",
			message: /container_path .*not-mounted is not a directory on this machine/,
		};
		await assert.rejects(storage.upload("u-1", []), expected);
		await assert.rejects(storage.prepare("u-1"), expected);
		assert.equal(existsSync(containerPath), false);
	});
});
