import assert from "node:assert/strict";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { whileLocked } from "../../src/sdk/while-locked.js";
import { errorWith } from "../support/error-with.js";
import { tempDir } from "../support/temp-dir.js";

describe("whileLocked", { timeout: 30_000 }, () => {
	it("has a file beside the other while the work is done, and none after it, also where that fails", async () => {
		const path = join(tempDir(), "directory", "file");
		const lock = `${path}.lock`;
		assert.equal(await whileLocked(path, () => existsSync(lock)), true);
		assert.equal(existsSync(lock), false);
		const failure = new Error("the work failed");
		await assert.rejects(
			whileLocked(path, () => {
				throw failure;
			}),
			failure,
		);
		assert.equal(existsSync(lock), false);
	});

	it("waits for all who come one after another, though they take longer together than one of them may", async () => {
		const path = join(tempDir(), "file");
		const lock = `${path}.lock`;
		const end = Date.now() + 1_500;
		writeFileSync(lock, "0");
		const others = setInterval(() => {
			if (Date.now() < end) {
				writeFileSync(lock, `${Date.now()}`);
			} else {
				clearInterval(others);
			}
		}, 20);
		assert.ok((await whileLocked(path, () => Date.now(), 1_000)) >= end);
		assert.equal(existsSync(lock), false);
	});

	it("removes what a process left that died meanwhile", async () => {
		const path = join(tempDir(), "file");
		writeFileSync(`${path}.lock`, "left");
		const start = performance.now();
		const ended = await whileLocked(path, () => performance.now(), 300);
		assert.ok(ended - start >= 300, `after ${ended - start} ms`);
		assert.equal(existsSync(`${path}.lock`), false);
	});

	it("says that the file cannot be written where something else has the name", async () => {
		const path = join(tempDir(), "file");
		mkdirSync(`${path}.lock`);
		await assert.rejects(
			whileLocked(path, () => {}),
			errorWith("permission_denied", /file cannot be written: EISDIR/),
		);
	});
});
