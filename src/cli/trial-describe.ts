import type { Command } from "commander";
import type { JsonObject, JsonValue, Trial } from "../sdk/index.js";
import { trialId } from "./id-argument.js";
import { addJsonFlag, type JsonFlag } from "./json-flag.js";
import { printDescription } from "./print-description.js";
import { localTime, took } from "./shown-time.js";
import { metricValue, percent, yaml } from "./shown-value.js";
import { stateStyle } from "./state-style.js";
import { type Column, printTable } from "./table.js";
import type { Terminal } from "./terminal.js";
import { addVerb, onServer } from "./verb.js";

/** One metric of a trial's summary. */
interface SummaryRow {
	readonly group: string;
	readonly metric: string;
	readonly summary: JsonObject;
}

/** Adds `millrace trial describe`: it tells all that is known of a trial. */
export function addTrialDescribeCommand(trial: Command, terminal: Terminal): void {
	const describe = addVerb(
		trial,
		"describe",
		"tell all that is known of a trial, with a summary of its metrics",
		"5",
		"5 --json",
	);
	addJsonFlag(describe.argument("<id>", "the trial", trialId), "a document");
	onServer<[number], JsonFlag>(describe, async (client, [id], flags) => {
		const one = await client.getTrial(id);
		await printDescription(terminal, flags, one, fieldsOf(one));
		const rows = flags.json ? [] : summaryOf(one);
		if (rows.length > 0) {
			await terminal.print("\n");
			await printTable(terminal, summaryColumns(terminal), rows);
		}
	});
}

function fieldsOf(trial: Trial) {
	const { id, experimentId, state, progress, status, trialRunId, restarts, maxRestarts } = trial;
	return [
		{ label: "Trial", text: String(id) },
		{ label: "Experiment", text: String(experimentId) },
		{ label: "State", text: state, style: stateStyle(trial) },
		{ label: "Done", text: percent(progress) },
		{ label: "Status", text: status },
		{ label: "Runs", text: String(trialRunId) },
		{ label: "Restarts", text: `${restarts} of at most ${maxRestarts}` },
		{ label: "Created", text: localTime(trial.creationTime) },
		{ label: "Ended", text: localTime(trial.endTime) },
		{ label: "Took", text: took(trial) },
		{ label: "Hyperparameters", text: yaml(trial.hparams) },
		{ label: "Metadata", text: yaml(trial.metadata) },
	];
}

function summaryOf({ summaryMetrics }: Trial): SummaryRow[] {
	return Object.entries(summaryMetrics).flatMap(([group, metrics]) =>
		Object.entries(metrics as JsonObject).map(([metric, summary]) => ({
			...{ group, metric },
			summary: summary as JsonObject,
		})),
	);
}

function summaryColumns(terminal: Terminal): readonly Column<SummaryRow>[] {
	const value = (value: JsonValue | undefined) => metricValue(value, terminal);
	return [
		{ title: "GROUP", text: ({ group }) => group, isCuttable: true },
		{ title: "METRIC", text: ({ metric }) => metric, isCuttable: true },
		{ title: "COUNT", text: ({ summary }) => value(summary.count), align: "right" },
		{ title: "MEAN", text: ({ summary }) => value(summary.mean), align: "right" },
		{ title: "MIN", text: ({ summary }) => value(summary.min), align: "right" },
		{ title: "MAX", text: ({ summary }) => value(summary.max), align: "right" },
		{ title: "LAST", text: ({ summary }) => value(summary.last), align: "right", isCuttable: true },
	];
}
