import type { Command } from "commander";
import type { JsonObject, TransferMode } from "../sdk/index.js";
import { choiceOption } from "./choice-option.js";
import { exampleUuid } from "./example.js";
import { addJsonFlag, type JsonFlag, toJson } from "./json-flag.js";
import { jsonObject } from "./json-option.js";
import type { Terminal } from "./terminal.js";
import { addVerb, onServer } from "./verb.js";

interface TransferFlags {
	mode?: TransferMode;
}

interface UploadFlags extends TransferFlags, JsonFlag {
	metadata?: JsonObject;
	reuse?: boolean;
}

/** Adds `millrace checkpoint upload` and `download`. */
export function addCheckpointTransfer(checkpoint: Command, terminal: Terminal): void {
	const mode = () =>
		choiceOption(
			"--mode <way>",
			"which way the files take: to the storage, through the server, or that which is there (default: auto)",
			["auto", "direct", "master"],
		);
	const upload = addVerb(
		checkpoint,
		"upload",
		"upload a file, or all files of a directory, as a checkpoint, and print its UUID",
		"model.onnx",
		`model/ --reuse --metadata '{"epoch": 3}'`,
	)
		.argument("<path>", "the file or the directory")
		.option("--metadata <json>", "metadata, as a JSON object", jsonObject)
		.option("--reuse", "take the checkpoint that has exactly these files, if there is one")
		.addOption(mode());
	addJsonFlag(upload, "a document");
	onServer<[string], UploadFlags>(
		upload,
		async (client, [path], flags) => {
			const { metadata, reuse = false } = flags;
			const options = { ...(metadata && { metadata }), reuse, ...modeOf(flags) };
			const one = await client.uploadCheckpoint(path, options);
			// Alone on stdout, for scripts.
			await terminal.print(`${flags.json ? toJson(one, 2) : one.uuid}\n`);
		},
		{ mayCreate: true },
	);

	const download = addVerb(
		checkpoint,
		"download",
		"copy the files of a checkpoint, verified, and print the directory",
		exampleUuid,
		`${exampleUuid} model`,
	)
		.argument("<uuid>", "the checkpoint")
		.argument("[directory]", "where to (default: checkpoints/<uuid>)")
		.addOption(mode());
	onServer<[string, string | undefined], TransferFlags>(download, async (client, [id, directory], flags) => {
		await terminal.print(`${await client.getCheckpoint(id).download(directory, modeOf(flags))}\n`);
	});
}

function modeOf({ mode }: TransferFlags): { mode?: TransferMode } {
	return mode === undefined ? {} : { mode };
}
