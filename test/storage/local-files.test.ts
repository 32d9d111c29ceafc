import assert from "node:assert/strict";
import { mkdirSync, symlinkSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, it } from "node:test";
import { listLocalFiles } from "../../src/storage/local-files.js";
import { tempDir } from "../support/temp-dir.js";
import { writeTree } from "./storage-manager-suite.js";

describe("listLocalFiles", { timeout: 30_000 }, () => {
	it("lists files in the order of their paths, with size and SHA-256", async () => {
		const root = writeTree(tempDir(), { "b.txt": "abc", "a/c.txt": "" });
		assert.deepEqual(await listLocalFiles(root), [
			{
				path: "a/c.txt",
				source: join(root, "a/c.txt"),
				sizeBytes: 0,
				sha256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
			},
			{
				path: "b.txt",
				source: join(root, "b.txt"),
				sizeBytes: 3,
				sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
			},
		]);
	});

	it("takes a single file under its own name", async () => {
		const root = writeTree(tempDir(), { "models/mnist.onnx": "abc" });
		const files = await listLocalFiles(join(root, "models/mnist.onnx"));
		assert.deepEqual(
			files.map((file) => file.path),
			["mnist.onnx"],
		);
	});

	it("throws not_found naming a path where nothing is", async () => {
		const path = join(tempDir(), "absent");
		await assert.rejects(listLocalFiles(path), {
			code: "not_found",
			message: `there is no file or directory at ${path}`,
		});
	});

	it("throws invalid_argument for a directory without files", async () => {
		const root = tempDir();
		mkdirSync(join(root, "nothing/here"), { recursive: true });
		await assert.rejects(listLocalFiles(root), { code: "invalid_argument", message: /holds no files/ });
	});

	it("throws invalid_argument for a link that leads back", { timeout: 5_000 }, async () => {
		const root = writeTree(tempDir(), { "a/file": "x" });
		symlinkSync("..", join(root, "a/up"));
		await assert.rejects(listLocalFiles(root), { code: "invalid_argument", message: /leads back to/ });
	});

	it("throws invalid_argument for a socket", async () => {
		const root = tempDir();
		const server = createServer();
		await new Promise<void>((resolve) => server.listen(join(root, "socket"), resolve));
		try {
			await assert.rejects(listLocalFiles(root), {
				code: "invalid_argument",
				message: /socket is neither a file nor a directory/,
			});
		} finally {
			server.close();
		}
	});
});
