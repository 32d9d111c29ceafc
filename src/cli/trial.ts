import type { Command } from "commander";
import { count } from "../launcher/progress-line.js";
import type { Client, TrialError, TrialOutput } from "../sdk/index.js";
import { addExample } from "./example.js";
import { addJsonFlag, type JsonFlag } from "./json-flag.js";
import { printList } from "./print-list.js";
import { addServerFlags, type ServerFlags, withClient } from "./server-flags.js";
import type { Column } from "./table.js";
import type { Terminal } from "./terminal.js";
import { addTrialCreateCommand } from "./trial-create.js";
import { trialId } from "./trial-id.js";
import { addTrialLogsCommand } from "./trial-logs.js";

/** Adds `millrace trial`, whose subcommands show and control trials. */
export function addTrialCommand(program: Command, terminal: Terminal): void {
	const trial = program.command("trial").summary("show and control trials").description("Show and control trials.");
	addExample(trial, "trial logs 5 --follow");
	addTrialCreateCommand(trial, terminal);
	addTrialLogsCommand(trial, terminal);
	const add = (name: string, description: string) => {
		const command = trial.command(name).description(description).argument("<id>", "the trial", trialId);
		return addExample(addServerFlags(command), `trial ${name} 5`);
	};
	const outputs = add("outputs", "list the committed output files of a trial: size in bytes, rank, path");
	addJsonFlag(outputs, "a line each").action((id: number, flags: ServerFlags & JsonFlag) =>
		withClient(flags, async (client) => {
			const options = { columns: outputColumns, none: "no outputs", withoutTitles: true };
			await printList(terminal, flags, client.getTrial(id).listOutputs(), options);
		}),
	);
	const errors = add("errors", "list the records of a trial that failed: record, rank, run, message");
	addJsonFlag(errors, "a line each").action((id: number, flags: ServerFlags & JsonFlag) =>
		withClient(flags, async (client) => {
			const options = { columns: errorColumns, none: "no errors", withoutTitles: true };
			await printList(terminal, flags, client.getTrial(id).listErrors(), options);
		}),
	);
	add("pause", "ask a trial to stop at its next commit, to go on later").action((id: number, flags: ServerFlags) =>
		withClient(flags, (client) => pause(client, id, terminal)),
	);
	add("activate", "let a paused or failed trial go on when its workers are started again").action(
		(id: number, flags: ServerFlags) => withClient(flags, (client) => activate(client, id, terminal)),
	);
}

const outputColumns: readonly Column<TrialOutput>[] = [
	{ title: "SIZE", text: ({ sizeBytes }) => count(sizeBytes), align: "right" },
	{ title: "RANK", text: ({ rank }) => `rank ${rank}` },
	{ title: "PATH", text: ({ path }) => path, isCuttable: true },
];

const errorColumns: readonly Column<TrialError>[] = [
	{ title: "RECORD", text: ({ record }) => `record ${record}` },
	{ title: "RANK", text: ({ rank }) => `rank ${rank}` },
	{ title: "RUN", text: ({ trialRunId }) => `run ${trialRunId}` },
	{ title: "ERROR", text: ({ error }) => error, isCuttable: true },
];

async function pause(client: Client, id: number, terminal: Terminal): Promise<void> {
	const trial = await client.getTrial(id);
	await trial.pause();
	const isStopping = trial.state === "ACTIVE";
	await terminal.print(`trial ${id}: ${trial.state}${isStopping ? ", to be PAUSED at its next commit" : ""}\n`);
}

async function activate(client: Client, id: number, terminal: Terminal): Promise<void> {
	const trial = await client.getTrial(id);
	await trial.activate();
	await terminal.print(`trial ${id}: ${trial.state}\n`);
}
