import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
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

	it("neither reads nor deletes what a symbolic link in a UUID's directory leads to", async () => {
		const containerPath = tempDir();
		const elsewhere = tempDir();
		writeFileSync(join(elsewhere, "secret"), "kept");
		mkdirSync(join(containerPath, "u-1"));
		symlinkSync(elsewhere, join(containerPath, "u-1", "d"));
		symlinkSync(join(elsewhere, "secret"), join(containerPath, "u-1", "link"));
		const storage = directoryStorage({ containerPath });
		const expected = { code: "failed_precondition", message: /leads through a symbolic link/ };
		for (const path of ["d/secret", "link"]) {
			const pieces = storage.read("u-1", { path, sizeBytes: 4, sha256: "" }, 0);
			await assert.rejects(pieces[Symbol.asyncIterator]().next(), expected);
		}
		await assert.rejects(storage.delete("u-1", ["d/secret"]), expected);
		await storage.delete("u-1", ["link"]);
		assert.equal(existsSync(join(containerPath, "u-1", "link")), false);
		assert.equal(readFileSync(join(elsewhere, "secret"), "utf8"), "kept");
	});
});
