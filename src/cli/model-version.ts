import type { Command } from "commander";
import type { JsonObject, ModelVersion } from "../sdk/index.js";
import { collect } from "./collect.js";
import { exampleUuid } from "./example.js";
import { versionNumber } from "./id-argument.js";
import { addJsonFlag, type JsonFlag, toJson } from "./json-flag.js";
import { jsonObject } from "./json-option.js";
import { addListFlags, type ListFlags, limited, sortingOf } from "./list-flags.js";
import { addMetricsFlags, type MetricsFlags, printMetrics } from "./metrics.js";
import { printList } from "./print-list.js";
import { age } from "./shown-time.js";
import type { Column } from "./table.js";
import type { Terminal } from "./terminal.js";
import { addVerb, onServer } from "./verb.js";

interface RegisterFlags extends JsonFlag {
	name?: string;
	comment?: string;
	notes?: string;
	label?: readonly string[];
	metadata?: JsonObject;
}

const columnsOf = (terminal: Terminal): readonly Column<ModelVersion>[] => [
	{ title: "VERSION", text: ({ modelVersion }) => String(modelVersion), align: "right" },
	{ title: "CHECKPOINT", text: ({ checkpoint }) => checkpoint.uuid },
	{ title: "AGE", text: ({ creationTime }) => age(creationTime, terminal.now), align: "right" },
	{ title: "NAME", text: ({ name }) => name, isCuttable: true },
	{ title: "LABELS", text: ({ labels }) => labels.join(", "), isCuttable: true },
	{ title: "COMMENT", text: ({ comment }) => comment, isCuttable: true },
];

/** Adds `millrace model register-version`, `list-versions` and `metrics`. */
export function addModelVersionCommands(model: Command, terminal: Terminal): void {
	const register = addVerb(
		model,
		"register-version",
		"register a checkpoint as the next version of a model, and print the version's number",
		`digits ${exampleUuid}`,
		`digits ${exampleUuid} --comment "better on sevens"`,
	)
		.argument("<model>", "its name or id")
		.argument("<uuid>", "the checkpoint")
		.option("--name <name>", "a name for the version")
		.option("--comment <text>", "a comment")
		.option("--notes <text>", "notes, in Markdown")
		.option("--label <label>", "a label; may be given several times", collect)
		.option("--metadata <json>", "metadata, as a JSON object", jsonObject);
	addJsonFlag(register, "a document");
	onServer<[string, string], RegisterFlags>(register, async (client, [id, uuid], flags) => {
		const { name, comment, notes, label, metadata } = flags;
		const version = await client.getModel(id).registerVersion(uuid, {
			...(name !== undefined && { name }),
			...(comment !== undefined && { comment }),
			...(notes !== undefined && { notes }),
			...(label !== undefined && { labels: label }),
			...(metadata !== undefined && { metadata }),
		});
		// Alone on stdout, for scripts.
		await terminal.print(`${flags.json ? toJson(version, 2) : version.modelVersion}\n`);
	});

	const list = addVerb(model, "list-versions", "list the versions of a model, the newest first", "digits");
	addListFlags(list.argument("<model>", "its name or id"));
	onServer<[string], ListFlags>(list, async (client, [id], flags) => {
		const rows = limited(client.getModel(id).listVersions(sortingOf(flags)), flags);
		await printList(terminal, flags, rows, { columns: columnsOf(terminal), none: "no versions" });
	});

	const metrics = addVerb(
		model,
		"metrics",
		"show what was reported by the trials that used a version of a model",
		"digits 1 --group inference",
		"digits 1 --name accuracy --chart",
	)
		.argument("<model>", "its name or id")
		.argument("<version>", "the version", versionNumber);
	onServer<[string, number], MetricsFlags>(
		addMetricsFlags(metrics, { canFollow: false }),
		(client, [id, number], flags) => {
			const reports = client.getModel(id).getVersion(number).getMetrics(flags.group);
			return printMetrics(terminal, flags, { name: `version ${number} of ${id}`, isTrial: false }, reports);
		},
	);
}
