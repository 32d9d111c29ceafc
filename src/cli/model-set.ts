import type { Command } from "commander";
import type { Model, ModelVersion } from "../sdk/index.js";
import { addExample } from "./example.js";
import { versionNumber } from "./id-argument.js";
import { jsonObject } from "./json-option.js";
import type { Terminal } from "./terminal.js";
import { addVerb, onServer } from "./verb.js";

interface VersionFlag {
	version?: number;
}

/** Adds `millrace model set`, whose subcommands change what is said of a model, or of one of its versions. */
export function addModelSetCommand(model: Command, terminal: Terminal): void {
	const set = model.command("set").description("set the name, the description, the notes, the labels or metadata");
	addExample(set, 'model set description digits "of MNIST"');

	/** Adds one of them, whose change returns what it changed. */
	const addSet = <A extends unknown[]>(
		command: Command,
		change: (one: Model, version: ModelVersion | undefined, ...values: A) => Promise<void>,
	) =>
		onServer<[string, ...A], VersionFlag>(command, async (client, [id, ...values], flags) => {
			const one = await client.getModel(id);
			const { version: number } = flags;
			const version = number === undefined ? undefined : await one.getVersion(number);
			await change(one, version, ...values);
			const name = number === undefined ? "" : `version ${number} of `;
			await terminal.print(`${name}model ${one.name}: ${command.name()} set\n`);
		});
	const add = (name: string, description: string, ...examples: string[]) =>
		addVerb(set, name, description, ...examples).argument("<model>", "its name or id");
	const withVersion = (command: Command) =>
		command.option("--version <number>", "that of this version, rather than of the model", versionNumber);

	addSet<[string]>(
		withVersion(add("name", "rename a model, or name a version", "digits digits-2024")).argument("<name>", "the name"),
		(one, version, name) => (version ?? one).setName(name),
	);
	addSet<[string]>(
		add("description", "set the description of a model", 'digits "of MNIST"').argument("<text>", "the description"),
		(one, _, text) => one.setDescription(text),
	);
	addSet<[string]>(
		withVersion(add("notes", "set the notes", 'digits "# Better on sevens" --version 3')).argument(
			"<text>",
			"the notes, in Markdown",
		),
		(one, version, text) => (version ?? one).setNotes(text),
	);
	addSet<[string[]]>(
		withVersion(add("labels", "set all labels; none removes them", "digits vision nightly")).argument(
			"[label...]",
			"the labels",
		),
		(one, version, labels = []) => (version ?? one).setLabels(labels),
	);
	addSet<[ReturnType<typeof jsonObject>]>(
		withVersion(add("metadata", "set keys of the metadata; the others stay", `digits '{"owner": "vision"}'`)).argument(
			"<json>",
			"the keys and values, as a JSON object",
			jsonObject,
		),
		(one, version, metadata) => (version ?? one).addMetadata(metadata),
	);
}
