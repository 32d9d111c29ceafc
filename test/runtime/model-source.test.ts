import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, it } from "node:test";
import { pathToFileURL } from "node:url";
import { MillraceError } from "../../src/errors.js";
import { openModelSource } from "../../src/runtime/model-source.js";

/** A checkpoint whose files hold their own paths. */
function checkpointOf(...files: string[]) {
	return {
		uuid: "c0ffee",
		resources: Object.fromEntries(files.map((file) => [file, file.length])),
		download: async (directory?: string) => {
			for (const file of files) {
				const target = path.join(directory ?? "", file);
				await mkdir(path.dirname(target), { recursive: true });
				await writeFile(target, file);
			}
			return directory ?? "";
		},
	};
}

describe("openModelSource", () => {
	it("takes a path, a file URL and bytes as they are", async () => {
		const file = path.resolve("models/a.onnx");
		for (const source of ["models/a.onnx", file, pathToFileURL(file), pathToFileURL(file).href]) {
			const { name, model } = await openModelSource(source);
			assert.deepEqual({ name, model }, { name: "a.onnx", model: file });
		}
		const bytes = Uint8Array.of(1);
		assert.equal((await openModelSource(bytes)).model, bytes);
	});

	it("finds the only ONNX file of a checkpoint, with the files beside it until it is released", async () => {
		const { name, model, release } = await openModelSource(checkpointOf("net/a.onnx", "net/a.onnx.data", "labels.txt"));
		assert.equal(name, "a.onnx");
		assert.equal(await readFile(model as string, "utf8"), "net/a.onnx");
		assert.equal(await readFile(`${model}.data`, "utf8"), "net/a.onnx.data");
		await release();
		assert.equal(existsSync(path.dirname(model as string)), false);
	});

	it("takes the named file of a model version, also one that is not awaited yet", async () => {
		const version = { modelName: "mnist", modelVersion: 3, checkpoint: checkpointOf("a.onnx", "b.onnx") };
		const { name, release } = await openModelSource(Promise.resolve(version), "b.onnx");
		await release();
		assert.equal(name, "b.onnx");
	});

	it("lists the files when it is not clear which is meant", async () => {
		const refuses = (source: Parameters<typeof openModelSource>[0], file: string | undefined, message: string) =>
			assert.rejects(openModelSource(source, file), { code: "invalid_argument", message });
		const two = checkpointOf("a.onnx", "b.onnx");
		await refuses(
			two,
			undefined,
			"checkpoint c0ffee has 2 .onnx files: name one of a.onnx, b.onnx with the option file",
		);
		await refuses(
			{ modelName: "mnist", modelVersion: 3, checkpoint: checkpointOf("readme") },
			undefined,
			"version 3 of mnist has no .onnx file: name one of readme with the option file",
		);
		await refuses(two, "c.onnx", "checkpoint c0ffee has no file c.onnx: it has a.onnx, b.onnx");
		await refuses("a.onnx", "b.onnx", "file is b.onnx: it is for a checkpoint or a model version");
		await refuses(Promise.resolve(null), undefined, "the model has no version: register one first");
		await refuses(
			7 as never,
			undefined,
			"the model must be a path, the content of an ONNX file, a checkpoint or a model version",
		);
	});

	it("hands on an error of the download, and leaves nothing behind", async () => {
		let directory = "";
		const checkpoint = {
			...checkpointOf("a.onnx"),
			download: async (target?: string) => {
				directory = target ?? "";
				throw new MillraceError("data_loss", "a.onnx is corrupted");
			},
		};
		await assert.rejects(openModelSource(checkpoint), { code: "data_loss" });
		assert.notEqual(directory, "");
		assert.equal(existsSync(directory), false);
	});
});
