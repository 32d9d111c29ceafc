import type { Command } from "commander";
import type { Model, ModelVersion } from "../sdk/index.js";
import { versionNumber } from "./id-argument.js";
import { addJsonFlag, type JsonFlag } from "./json-flag.js";
import { printDescription } from "./print-description.js";
import { localTime } from "./shown-time.js";
import { yaml } from "./shown-value.js";
import { stateStyle } from "./state-style.js";
import type { Terminal } from "./terminal.js";
import { addVerb, onServer } from "./verb.js";

/** Adds `millrace model describe`: it tells all that is known of a model, or of one of its versions. */
export function addModelDescribeCommand(model: Command, terminal: Terminal): void {
	const describe = addVerb(
		model,
		"describe",
		"tell all that is known of a model, or of one of its versions",
		"digits",
		"digits 1 --json",
	)
		.argument("<model>", "its name or id")
		.argument("[version]", "the version (default: the model itself)", versionNumber);
	addJsonFlag(describe, "a document");
	onServer<[string, number | undefined], JsonFlag>(describe, async (client, [id, number], flags) => {
		if (number === undefined) {
			const one = await client.getModel(id);
			await printDescription(terminal, flags, one, modelFields(one));
		} else {
			const version = await client.getModel(id).getVersion(number);
			await printDescription(terminal, flags, version, versionFields(version));
		}
	});
}

function modelFields(model: Model) {
	const { name, modelId, versionCount, description, labels, archived, username, metadata, notes } = model;
	return [
		{ label: "Model", text: name },
		{ label: "Id", text: String(modelId) },
		{ label: "Versions", text: String(versionCount) },
		{ label: "Description", text: description },
		{ label: "Labels", text: labels.join(", ") },
		{ label: "Archived", text: archived ? "yes" : "no" },
		{ label: "User", text: username },
		{ label: "Created", text: localTime(model.creationTime) },
		{ label: "Updated", text: localTime(model.lastUpdatedTime) },
		{ label: "Notes", text: notes },
		{ label: "Metadata", text: yaml(metadata) },
	];
}

function versionFields(version: ModelVersion) {
	const { modelName, modelVersion, name, comment, checkpoint, labels, username, metadata, notes } = version;
	return [
		{ label: "Model", text: modelName },
		{ label: "Version", text: String(modelVersion) },
		{ label: "Name", text: name },
		{ label: "Comment", text: comment },
		{ label: "Checkpoint", text: checkpoint.uuid },
		{ label: "State", text: checkpoint.state, style: stateStyle(checkpoint) },
		{ label: "Labels", text: labels.join(", ") },
		{ label: "User", text: username },
		{ label: "Created", text: localTime(version.creationTime) },
		{ label: "Updated", text: localTime(version.lastUpdatedTime) },
		{ label: "Notes", text: notes },
		{ label: "Metadata", text: yaml(metadata) },
	];
}
