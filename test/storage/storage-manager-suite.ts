import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import { listLocalFiles } from "../../src/storage/local-files.js";
import type { StorageManager } from "../../src/storage/storage-manager.js";
import { tempDir } from "../support/temp-dir.js";

const uuid = "0d7c5b0e-93c5-4f1f-9d55-8d4b1a1f7a10";

/** What every storage backend has to do. `create` makes one in an empty place, which must exist. */
export function storageManagerSuite(create: () => StorageManager): void {
	const uploaded = async () => {
		const storage = create();
		const source = writeTree(tempDir(), { "model.onnx": "weights", "tokens/vocab.txt": "a\nb\n", "empty.bin": "" });
		const files = await listLocalFiles(source);
		await storage.upload(uuid, files);
		return { storage, files, source };
	};

	describe("upload and download", () => {
		it("bring a directory tree back as it was", async () => {
			const { storage, files } = await uploaded();
			const target = join(tempDir(), "new", "place");
			const paths = await storage.download(uuid, files, target);
			assert.deepEqual(
				paths,
				["empty.bin", "model.onnx", "tokens/vocab.txt"].map((path) => join(target, path)),
			);
			assert.equal(readFileSync(join(target, "model.onnx"), "utf8"), "weights");
			assert.equal(readFileSync(join(target, "tokens/vocab.txt"), "utf8"), "a\nb\n");
			assert.equal(readFileSync(join(target, "empty.bin"), "utf8"), "");
		});

		it("leave no temporary file behind", async () => {
			const { storage, files } = await uploaded();
			const target = tempDir();
			await storage.download(uuid, files, target);
			assert.deepEqual(readdirSync(target).sort(), ["empty.bin", "model.onnx", "tokens"]);
			assert.deepEqual(readdirSync(storage.directory(uuid)).sort(), ["empty.bin", "model.onnx", "tokens"]);
		});

		it("take a file of several megabytes", async () => {
			const storage = create();
			const bytes = Buffer.alloc(5 * 1024 * 1024 + 17, "abc");
			const source = tempDir();
			writeFileSync(join(source, "big"), bytes);
			const files = await listLocalFiles(join(source, "big"));
			await storage.upload(uuid, files);
			const [path] = await storage.download(uuid, files, tempDir());
			assert.ok(bytes.equals(readFileSync(path as string)));
		});
	});

	describe("prepare", () => {
		it("makes the directory of a UUID, and keeps what one that exists holds", async () => {
			const storage = create();
			assert.equal(await storage.prepare(uuid), storage.directory(uuid));
			writeFileSync(join(storage.directory(uuid), "part"), "");
			await storage.prepare(uuid);
			assert.deepEqual(await storage.list(uuid), [{ path: "part", sizeBytes: 0 }]);
		});

		it("throws failed_precondition naming a file that is in the way", async () => {
			const storage = create();
			mkdirSync(storage.root, { recursive: true });
			writeFileSync(storage.directory(uuid), "");
			await assert.rejects(storage.prepare(uuid), {
				code: "failed_precondition",
				message: new RegExp(`cannot create ${storage.directory(uuid)}`),
			});
		});
	});

	describe("upload", () => {
		it("throws aborted when a file changed after it was listed, and gives it no name", async () => {
			const storage = create();
			const source = writeTree(tempDir(), { "model.onnx": "weights" });
			const files = await listLocalFiles(source);
			writeFileSync(join(source, "model.onnx"), "WEIGHTS");
			await assert.rejects(storage.upload(uuid, files), { code: "aborted", message: /model\.onnx changed while/ });
			assert.deepEqual(await storage.list(uuid), []);
		});
	});

	describe("download", () => {
		it("copies only the manifest's part of a file that has grown", async () => {
			const { storage, files } = await uploaded();
			appendFileSync(join(storage.directory(uuid), "model.onnx"), " and what another run added");
			const target = tempDir();
			await storage.download(uuid, files, target);
			assert.equal(readFileSync(join(target, "model.onnx"), "utf8"), "weights");
		});

		it("replaces what is at the target", async () => {
			const { storage, files } = await uploaded();
			const target = writeTree(tempDir(), { "model.onnx": "something older and longer" });
			await storage.download(uuid, files, target);
			assert.equal(readFileSync(join(target, "model.onnx"), "utf8"), "weights");
		});

		it("throws data_loss for a changed byte, and leaves nothing under the file's name", async () => {
			const { storage, files } = await uploaded();
			writeFileSync(join(storage.directory(uuid), "model.onnx"), "weightz");
			const target = tempDir();
			await assert.rejects(storage.download(uuid, files, target), {
				code: "data_loss",
				message: /model\.onnx is corrupted/,
			});
			assert.deepEqual(readdirSync(target), ["empty.bin"]);
		});

		it("throws data_loss for a file that is too short", async () => {
			const { storage, files } = await uploaded();
			writeFileSync(join(storage.directory(uuid), "model.onnx"), "wei");
			await assert.rejects(storage.download(uuid, files, tempDir()), {
				code: "data_loss",
				message: /has 3 bytes, but 7 were recorded/,
			});
		});

		it("throws not_found for a file that is missing", async () => {
			const { storage, files } = await uploaded();
			await storage.delete(uuid, ["model.onnx"]);
			await assert.rejects(storage.download(uuid, files, tempDir()), { code: "not_found", message: /model\.onnx/ });
		});

		it("throws invalid_argument for a path that leaves the directory, before it copies anything", async () => {
			const { storage, files } = await uploaded();
			for (const path of ["../escape", "a/../../escape", "/etc/passwd", "", "a//b", "..", "a\\b"]) {
				const target = join(tempDir(), "target");
				const manifest = [...files, { path, sizeBytes: 0, sha256: createHash("sha256").digest("hex") }];
				await assert.rejects(storage.download(uuid, manifest, target), { code: "invalid_argument" }, path);
				assert.equal(existsSync(target), false);
			}
		});
	});

	describe("list", () => {
		it("lists the files with their sizes in the order of their paths", async () => {
			const { storage } = await uploaded();
			assert.deepEqual(await storage.list(uuid), [
				{ path: "empty.bin", sizeBytes: 0 },
				{ path: "model.onnx", sizeBytes: 7 },
				{ path: "tokens/vocab.txt", sizeBytes: 4 },
			]);
		});

		it("lists nothing for a directory that does not exist", async () => {
			assert.deepEqual(await create().list(uuid), []);
		});
	});

	describe("delete", () => {
		it("removes single files, and then the whole directory", async () => {
			const { storage } = await uploaded();
			await storage.delete(uuid, ["empty.bin/below-a-file", "n".repeat(300), "empty.bin", "never-there"]);
			assert.deepEqual(
				(await storage.list(uuid)).map((file) => file.path),
				["model.onnx", "tokens/vocab.txt"],
			);
			await storage.delete(uuid);
			assert.equal(existsSync(storage.directory(uuid)), false);
		});

		it("throws invalid_argument for a path that leaves the directory, and removes nothing", async () => {
			const { storage } = await uploaded();
			const bystander = join(storage.root, "bystander");
			writeFileSync(bystander, "");
			await assert.rejects(storage.delete(uuid, ["../bystander"]), { code: "invalid_argument" });
			await assert.rejects(storage.delete(".."), { code: "invalid_argument" });
			assert.ok(existsSync(bystander));
		});
	});

	it("follows links to files when it uploads", async () => {
		const storage = create();
		const source = writeTree(tempDir(), { "blobs/1": "weights" });
		mkdirSync(join(source, "snapshot"));
		symlinkSync("../blobs/1", join(source, "snapshot/model.onnx"));
		await storage.upload(uuid, await listLocalFiles(join(source, "snapshot")));
		assert.equal(readFileSync(join(storage.directory(uuid), "model.onnx"), "utf8"), "weights");
	});
}

/** Writes files below a directory, and returns the directory. */
export function writeTree(root: string, files: Readonly<Record<string, string>>): string {
	for (const [path, content] of Object.entries(files)) {
		mkdirSync(dirname(join(root, path)), { recursive: true });
		writeFileSync(join(root, path), content);
	}
	return root;
}
