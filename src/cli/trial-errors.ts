import type { Command } from "commander";
import type { TrialError } from "../sdk/index.js";
import { trialId } from "./id-argument.js";
import { addJsonFlag, type JsonFlag } from "./json-flag.js";
import { printList } from "./print-list.js";
import type { Column } from "./table.js";
import type { Terminal } from "./terminal.js";
import { addVerb, onServer } from "./verb.js";

const columns: readonly Column<TrialError>[] = [
	{ title: "RECORD", text: ({ record }) => `record ${record}` },
	{ title: "RANK", text: ({ rank }) => `rank ${rank}` },
	{ title: "RUN", text: ({ trialRunId }) => `run ${trialRunId}` },
	{ title: "ERROR", text: ({ error }) => error, isCuttable: true },
];

/** Adds `millrace trial errors` and `retry-errors`: the records that failed, and another try of them. */
export function addTrialErrorsCommands(trial: Command, terminal: Terminal): void {
	const errors = addVerb(trial, "errors", "list the records of a trial that failed: record, rank, run, message", "5");
	addJsonFlag(errors.argument("<id>", "the trial", trialId), "a line each");
	onServer<[number], JsonFlag>(errors, async (client, [id], flags) => {
		const rows = client.getTrial(id).listErrors();
		await printList(terminal, flags, rows, { columns, none: "no errors", withoutTitles: true });
	});

	const retry = addVerb(
		trial,
		"retry-errors",
		"let the next run of a trial, also of one that is completed, process the records that failed once more",
		"5",
	).argument("<id>", "the trial", trialId);
	onServer<[number]>(retry, async (client, [id]) => {
		const one = await client.getTrial(id);
		const count = await one.retryErrors();
		const records = count === 1 ? "1 record" : `${count} records`;
		const next = count === 0 ? "no errors" : `${records} to be processed once more, by its next run`;
		await terminal.print(`trial ${id}: ${one.state}, ${next}\n`);
	});
}
