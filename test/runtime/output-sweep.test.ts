import assert from "node:assert/strict";
import { mkdir, readdir, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, it } from "node:test";
import { sweepOutputs } from "../../src/runtime/output-sweep.js";
import { tempDir } from "../support/temp-dir.js";

async function fill(directory: string, files: readonly string[]): Promise<void> {
	for (const file of files) {
		await mkdir(path.dirname(path.join(directory, file)), { recursive: true });
		await writeFile(path.join(directory, file), file);
	}
}

async function everything(directory: string): Promise<string[]> {
	return (await readdir(directory, { recursive: true })).sort();
}

describe("sweepOutputs", () => {
	it("deletes what older runs left uncommitted, and nothing else", async () => {
		const directory = tempDir();
		await fill(directory, [
			"r1-w0-p0-a/kept.txt",
			"r1-w0-p0-a/deep/kept.txt",
			"r1-w0-p0-a/deep/lost.txt",
			"r1-w0-p0-a/lost/lost.txt",
			"r1-w1-p0-b/lost.txt",
			"r1-probe-a/node-1",
			"r2-probe-b/node-1",
			"r2-w0-p1-c/current.txt",
			"r10-w0-p0-d/later.txt",
			"other/file.txt",
			"r1-notes.txt",
			"r1-w0-p0-file",
		]);
		const deleted = await sweepOutputs(directory, ["r1-w0-p0-a/kept.txt", "r1-w0-p0-a/deep/kept.txt"], 2);
		assert.deepEqual(deleted.sort(), [
			"r1-probe-a/node-1",
			"r1-w0-p0-a/deep/lost.txt",
			"r1-w0-p0-a/lost/lost.txt",
			"r1-w1-p0-b/lost.txt",
		]);
		assert.deepEqual(await everything(directory), [
			"other",
			"other/file.txt",
			"r1-notes.txt",
			"r1-w0-p0-a",
			"r1-w0-p0-a/deep",
			"r1-w0-p0-a/deep/kept.txt",
			"r1-w0-p0-a/kept.txt",
			"r1-w0-p0-file",
			"r10-w0-p0-d",
			"r10-w0-p0-d/later.txt",
			"r2-probe-b",
			"r2-probe-b/node-1",
			"r2-w0-p1-c",
			"r2-w0-p1-c/current.txt",
		]);
	});

	it("does not follow links", async () => {
		const directory = tempDir();
		const outside = tempDir();
		await fill(outside, ["precious.txt"]);
		await fill(directory, ["r1-w0-p0-a/lost.txt"]);
		await symlink(outside, path.join(directory, "r1-w0-p0-a", "link"));
		await symlink(outside, path.join(directory, "r1-w9-p0-z"));
		await sweepOutputs(directory, [], 2);
		assert.deepEqual(await everything(outside), ["precious.txt"]);
		assert.deepEqual(await readdir(directory), ["r1-w9-p0-z"]);
	});

	it("has nothing to do without a directory", async () => {
		assert.deepEqual(await sweepOutputs(path.join(tempDir(), "none"), [], 2), []);
	});
});
