import type { Command } from "commander";
import type { JsonObject, ListModelsOptions, Model, ModelSortBy } from "../sdk/index.js";
import { collect } from "./collect.js";
import { addYesFlag, confirmDeletion, type YesFlag } from "./confirm-deletion.js";
import { addExample } from "./example.js";
import { versionNumber } from "./id-argument.js";
import { addJsonFlag, type JsonFlag, toJson } from "./json-flag.js";
import { jsonObject } from "./json-option.js";
import { addListFlags, type ListFlags, limited, sortingOf } from "./list-flags.js";
import { addModelDescribeCommand } from "./model-describe.js";
import { addModelSetCommand } from "./model-set.js";
import { addModelVersionCommands } from "./model-version.js";
import { printList } from "./print-list.js";
import { localTime } from "./shown-time.js";
import type { Column } from "./table.js";
import type { Terminal } from "./terminal.js";
import { addVerb, onServer } from "./verb.js";

interface ModelListFlags extends ListFlags<ModelSortBy> {
	name?: string;
	label?: readonly string[];
	archived?: boolean;
}

interface CreateFlags extends JsonFlag {
	description?: string;
	label?: readonly string[];
	metadata?: JsonObject;
	existOk?: boolean;
}

const sortKeys: readonly ModelSortBy[] = ["NAME", "DESCRIPTION", "CREATION_TIME", "LAST_UPDATED_TIME", "NUM_VERSIONS"];

const columns: readonly Column<Model>[] = [
	{ title: "ID", text: ({ modelId }) => String(modelId), align: "right" },
	{ title: "NAME", text: ({ name }) => name, isCuttable: true },
	{ title: "VERSIONS", text: ({ versionCount }) => String(versionCount), align: "right" },
	{ title: "UPDATED", text: ({ lastUpdatedTime }) => localTime(lastUpdatedTime) },
	{ title: "ARCHIVED", text: ({ archived }) => (archived ? "yes" : "") },
	{ title: "LABELS", text: ({ labels }) => labels.join(", "), isCuttable: true },
	{ title: "DESCRIPTION", text: ({ description }) => description, isCuttable: true },
];

/** Adds `millrace model`, whose subcommands keep models, their versions, and show what was reported of them. */
export function addModelCommand(program: Command, terminal: Terminal): void {
	const model = program
		.command("model")
		.summary("keep models and their versions")
		.description("Keep models and their versions, and show what was reported of them.");
	addExample(model, "model list", "model metrics digits 1 --group inference --chart");

	const create = addVerb(model, "create", "create a model", "digits", 'digits --label vision --description "of MNIST"')
		.argument("<name>", "its name")
		.option("--description <text>", "what it is")
		.option("--label <label>", "a label; may be given several times", collect)
		.option("--metadata <json>", "metadata, as a JSON object", jsonObject)
		.option("--exist-ok", "leave the model as it is that has this name already");
	onServer<[string], CreateFlags>(
		addJsonFlag(create, "a document"),
		async (client, [name], flags) => {
			const { description, label, metadata, existOk } = flags;
			const one = await client.createModel(name, {
				...(description !== undefined && { description }),
				...(label !== undefined && { labels: label }),
				...(metadata !== undefined && { metadata }),
				...(existOk !== undefined && { existOk }),
			});
			await terminal.print(flags.json ? `${toJson(one, 2)}\n` : `model ${one.name}: id ${one.modelId}\n`);
		},
		{ mayCreate: true },
	);

	const list = addVerb(model, "list", "list models, by default in the order of their names", "", "--label vision")
		.option("--name <text>", "only those whose name contains this, in any case")
		.option("--label <label>", "only those with this label; may be given several times, for any of them", collect)
		.option("--archived", "only those that are archived")
		.option("--no-archived", "only those that are not archived");
	onServer<[], ModelListFlags>(addListFlags(list, sortKeys), async (client, _, flags) => {
		const rows = limited(client.listModels(filterOf(flags)), flags);
		await printList(terminal, flags, rows, { columns, none: "no models" });
	});

	addModelDescribeCommand(model, terminal);
	addModelVersionCommands(model, terminal);
	const addChange = (name: string, description: string, change: (one: Model) => Promise<void>) => {
		const command = addVerb(model, name, description, "digits").argument("<model>", "its name or id");
		onServer<[string]>(command, async (client, [id]) => {
			const one = await client.getModel(id);
			await change(one);
			await terminal.print(`model ${one.name}: ${one.archived ? "archived" : "not archived"}\n`);
		});
	};
	addChange("archive", "make a model read-only: it takes no new versions", (one) => one.archive());
	addChange("unarchive", "make an archived model writable again", (one) => one.unarchive());

	const remove = addVerb(
		model,
		"delete",
		"delete a model with its versions, or one version; the checkpoints stay",
		"digits --yes",
		"digits 3",
	)
		.argument("<model>", "its name or id")
		.argument("[version]", "the version (default: all of the model)", versionNumber);
	onServer<[string, number | undefined], YesFlag>(addYesFlag(remove), async (client, [id, number], flags) => {
		const one = await client.getModel(id);
		const version = number === undefined ? undefined : await one.getVersion(number);
		const versions = one.versionCount === 1 ? "its version" : `its ${one.versionCount} versions`;
		const name = version === undefined ? `model ${one.name}` : `version ${number} of model ${one.name}`;
		if (await confirmDeletion(terminal, flags, `delete ${name}${version === undefined ? ` with ${versions}` : ""}`)) {
			await (version ?? one).delete();
			await terminal.print(`${name}: deleted\n`);
		}
	});
	addModelSetCommand(model, terminal);
}

function filterOf(flags: ModelListFlags): ListModelsOptions {
	const { name, label, archived } = flags;
	return {
		...sortingOf(flags),
		...(name !== undefined && { name }),
		...(label !== undefined && { labels: label }),
		...(archived !== undefined && { archived }),
	};
}
