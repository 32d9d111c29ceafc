import type { Command } from "commander";
import { count } from "../launcher/progress-line.js";
import type { TrialOutput } from "../sdk/index.js";
import { trialId } from "./id-argument.js";
import { addJsonFlag, type JsonFlag } from "./json-flag.js";
import { printList } from "./print-list.js";
import type { Column } from "./table.js";
import type { Terminal } from "./terminal.js";
import { addVerb, onServer } from "./verb.js";

const columns: readonly Column<TrialOutput>[] = [
	{ title: "SIZE", text: ({ sizeBytes }) => count(sizeBytes), align: "right" },
	{ title: "RANK", text: ({ rank }) => `rank ${rank}` },
	{ title: "PATH", text: ({ path }) => path, isCuttable: true },
];

/** Adds `millrace trial outputs`: it lists what the workers of a trial wrote, or copies it. */
export function addTrialOutputsCommand(trial: Command, terminal: Terminal): void {
	const outputs = addVerb(
		trial,
		"outputs",
		"list the committed output files of a trial: size in bytes, rank, path",
		"5",
		"5 --download predictions",
	)
		.argument("<id>", "the trial", trialId)
		.option("--download <directory>", "copy them to this directory instead, and print the paths of the copies");
	addJsonFlag(outputs, "a line each");
	onServer<[number], JsonFlag & { download?: string }>(outputs, async (client, [id], flags) => {
		if (flags.download === undefined) {
			const rows = client.getTrial(id).listOutputs();
			await printList(terminal, flags, rows, { columns, none: "no outputs", withoutTitles: true });
			return;
		}
		const paths = await client.getTrial(id).downloadOutputs(flags.download);
		if (paths.length === 0) {
			terminal.say("no outputs");
		}
		await terminal.print(paths.map((path) => `${flags.json ? JSON.stringify(path) : path}\n`).join(""));
	});
}
