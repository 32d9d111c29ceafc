import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { runInProcess } from "../support/run-command-line.js";
import { tempDir } from "../support/temp-dir.js";
import { useTestClient } from "../support/use-test-client.js";

describe("millrace checkpoint", { timeout: 120_000 }, () => {
	const test = useTestClient();
	const run = (...args: string[]) => runInProcess(["checkpoint", ...args, "--server", test.address]);

	function modelFolder(weights: string): string {
		const folder = join(tempDir(), "model");
		mkdirSync(join(folder, "optimizer"), { recursive: true });
		writeFileSync(join(folder, "model.onnx"), weights);
		writeFileSync(join(folder, "optimizer", "state"), "state");
		return folder;
	}

	it("uploads files and prints their UUID alone, and downloads them again", async () => {
		const folder = modelFolder("weights");
		const { code, stdout, stderr } = await run("upload", folder, "--metadata", '{"epoch": 3}', "--reuse");
		assert.deepEqual([code, stderr], [0, ""]);
		assert.match(stdout, /^[0-9a-f-]{36}\n$/);
		const uuid = stdout.trim();
		assert.equal((await run("upload", folder, "--reuse", "--mode", "MASTER")).stdout, stdout);
		const target = join(tempDir(), "copy");
		assert.deepEqual(await run("download", uuid, target, "--mode", "direct"), { code, stdout: `${target}\n`, stderr });
		assert.equal(readFileSync(join(target, "model.onnx"), "utf8"), "weights");
		assert.deepEqual(JSON.parse(readFileSync(join(target, "metadata.json"), "utf8")), { epoch: 3 });
	});

	it("tells of a checkpoint, and lists it, with the properties of the SDK as JSON", async () => {
		const uploaded = await run("upload", modelFolder("described"), "--json");
		const checkpoint = JSON.parse(uploaded.stdout);
		const { uuid } = checkpoint;
		assert.deepEqual(checkpoint, JSON.parse(JSON.stringify(await test.client.getCheckpoint(uuid))));
		assert.deepEqual(JSON.parse((await run("describe", uuid, "--json")).stdout), checkpoint);
		assert.deepEqual(JSON.parse((await run("list", "--limit", "1", "--json")).stdout), checkpoint);
		assert.match((await run("describe", uuid)).stdout, /\nSize: +14 B in 2 files\nFiles:\n {2}model.onnx \(9 B\)\n/);
		assert.equal((await run("list", "--trial", "1", "--experiment", "1")).code, 2);
		assert.equal((await run("list", "--trial", "999")).stderr, "millrace: trial 999 not found\n");
		assert.equal((await run("list", "--sort-by-metric", "a", "--sort-by", "UUID")).code, 2);
		assert.equal((await run("metrics", uuid)).stderr, "millrace: no metrics\n");
	});

	it("removes files that globs fit, and all, when it is meant", async () => {
		const uuid = (await run("upload", modelFolder("removed"))).stdout.trim();
		const unasked = await run("remove-files", uuid, "optimizer/**");
		assert.deepEqual([unasked.code, unasked.stdout], [2, ""]);
		const removed = await run("remove-files", uuid, "optimizer/**", "*.txt", "--yes");
		assert.equal(removed.stdout, `checkpoint ${uuid}: PARTIALLY_DELETED, 1 file removed\n`);
		const refused = await run("delete", uuid);
		assert.match(refused.stderr, new RegExp(`whether to delete checkpoint ${uuid} \\(1 file, 7 B\\); give --yes`));
		assert.equal((await run("delete", uuid, "-y")).stdout, `checkpoint ${uuid}: DELETED\n`);
		assert.equal((await run("download", uuid, tempDir())).code, 2);
	});

	it("exits 2 for wrong values", async () => {
		const file = join(modelFolder("x"), "model.onnx");
		const cases: readonly (readonly [args: readonly string[], says: RegExp])[] = [
			[["upload", file, "--metadata", "3"], /Give a JSON object, as in '\{"epoch": 3\}'/],
			[["upload", file, "--metadata", "{"], /Give a JSON object/],
			[["upload", file, "--mode", "pigeon"], /Give one of auto, direct, master/],
			[["upload", join(file, "none")], /^millrace: /],
			[["describe", "none"], /^millrace: .*UUID/],
			[["describe", "6b8f1f0e-0000-4000-8000-000000000000"], /^millrace: .*not found/],
			[["remove-files", "6b8f1f0e-0000-4000-8000-000000000000"], /missing required argument 'glob'/],
		];
		for (const [args, says] of cases) {
			const { code, stdout, stderr } = await run(...args);
			assert.deepEqual([code, stdout], [2, ""], stderr);
			assert.match(stderr, says);
		}
	});
});
