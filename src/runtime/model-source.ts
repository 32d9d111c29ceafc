import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { MillraceError } from "../errors.js";
import type { Checkpoint } from "../sdk/checkpoint.js";
import type { ModelVersion } from "../sdk/model-version.js";

/** The part of a checkpoint that a model is loaded from. */
export type CheckpointFiles = Pick<Checkpoint, "uuid" | "resources" | "download">;

/** The part of a model version that a model is loaded from. */
export type VersionFiles = Pick<ModelVersion, "modelName" | "modelVersion"> & { readonly checkpoint: CheckpointFiles };

/**
 * Where a model comes from: the path, file URL or content of an ONNX file, or a checkpoint or model version
 * that holds one; `client.getCheckpoint(uuid)` may be given without awaiting it.
 */
export type ModelSource =
	| string
	| URL
	| Uint8Array
	| CheckpointFiles
	| VersionFiles
	| PromiseLike<CheckpointFiles | VersionFiles | null>;

/** A model that ONNX Runtime can load. */
export interface LoadableModel {
	/** How messages call it: the file's name. */
	readonly name: string;
	/** The path or the content of the ONNX file. */
	readonly model: string | Uint8Array;
	/** Removes what was copied to load it. */
	release(): Promise<void>;
}

/**
 * Finds the ONNX file of `source`. The files of a checkpoint are copied to a temporary directory, all of
 * them, since an ONNX file may refer to others beside it.
 *
 * @param file The ONNX file of a checkpoint. Default: the only *.onnx file in it.
 *
 * Errors: invalid_argument if which file is meant is not clear, with the files there are; those of
 * Checkpoint.download.
 */
export async function openModelSource(source: ModelSource, file?: string): Promise<LoadableModel> {
	const given = await source;
	if (given instanceof Uint8Array || typeof given === "string" || given instanceof URL) {
		if (file !== undefined) {
			throw new MillraceError("invalid_argument", `file is ${file}: it is for a checkpoint or a model version`);
		}
		if (given instanceof Uint8Array) return { name: "the model", model: given, release: async () => {} };
		const isUrl = given instanceof URL || given.startsWith("file:");
		const model = isUrl ? fileURLToPath(given) : path.resolve(given);
		return { name: path.basename(model), model, release: async () => {} };
	}
	if (given === null) throw new MillraceError("invalid_argument", "the model has no version: register one first");
	if (typeof given === "object" && "checkpoint" in given) {
		return openCheckpoint(given.checkpoint, `version ${given.modelVersion} of ${given.modelName}`, file);
	}
	if (typeof given !== "object" || typeof given.download !== "function") {
		throw new MillraceError(
			"invalid_argument",
			"the model must be a path, the content of an ONNX file, a checkpoint or a model version",
		);
	}
	return openCheckpoint(given, `checkpoint ${given.uuid}`, file);
}

async function openCheckpoint(
	checkpoint: CheckpointFiles,
	label: string,
	file: string | undefined,
): Promise<LoadableModel> {
	const files = Object.keys(checkpoint.resources).filter((name) => !name.endsWith("/"));
	// Without files it is not complete, which the download says better.
	const chosen = files.length === 0 ? "" : chooseFile(files, label, file);
	const directory = await mkdtemp(path.join(tmpdir(), "millrace-model-"));
	const release = () => rm(directory, { recursive: true, force: true });
	try {
		await checkpoint.download(directory);
	} catch (error) {
		await release();
		throw error;
	}
	return { name: path.posix.basename(chosen), model: path.join(directory, chosen), release };
}

function chooseFile(files: readonly string[], label: string, file: string | undefined): string {
	const listed = files.join(", ");
	if (file !== undefined) {
		if (files.includes(file)) return file;
		throw new MillraceError("invalid_argument", `${label} has no file ${file}: it has ${listed}`);
	}
	const models = files.filter((name) => name.endsWith(".onnx"));
	const [only] = models;
	if (only !== undefined && models.length === 1) return only;
	const problem = only === undefined ? "no .onnx file" : `${models.length} .onnx files`;
	throw new MillraceError("invalid_argument", `${label} has ${problem}: name one of ${listed} with the option file`);
}
