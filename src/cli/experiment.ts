import type { Command } from "commander";
import type { Experiment, ExperimentSortBy, ExperimentState, ListExperimentsOptions } from "../sdk/index.js";
import { addCheckpointListFlags, type CheckpointListFlags, printCheckpoints } from "./checkpoint-list.js";
import { choicesOption } from "./choice-option.js";
import { collect } from "./collect.js";
import { addExample } from "./example.js";
import { addExperimentChanges } from "./experiment-change.js";
import { addExperimentControl } from "./experiment-control.js";
import { experimentId } from "./id-argument.js";
import { addJsonFlag, type JsonFlag } from "./json-flag.js";
import { addListFlags, type ListFlags, limited, sortingOf } from "./list-flags.js";
import { addMetricsFlags, type MetricsFlags, printMetrics } from "./metrics.js";
import { printDescription } from "./print-description.js";
import { printList } from "./print-list.js";
import { localTime, took } from "./shown-time.js";
import { percent, yaml } from "./shown-value.js";
import { stateStyle } from "./state-style.js";
import type { Column } from "./table.js";
import type { Terminal } from "./terminal.js";
import { addTrialListFlags, printTrials, type TrialListFlags, trialStates } from "./trial-list.js";
import { addVerb, onServer } from "./verb.js";

interface ExperimentListFlags extends ListFlags<ExperimentSortBy> {
	state?: readonly ExperimentState[];
	name?: string;
	label?: readonly string[];
	archived?: boolean;
}

const sortKeys: readonly ExperimentSortBy[] = [
	"ID",
	"NAME",
	"DESCRIPTION",
	"START_TIME",
	"END_TIME",
	"STATE",
	"NUM_TRIALS",
	"PROGRESS",
	"USER",
];

const columns: readonly Column<Experiment>[] = [
	{ title: "ID", text: ({ id }) => String(id), align: "right" },
	{ title: "STATE", text: ({ state }) => state, style: stateStyle },
	{ title: "DONE", text: ({ progress }) => percent(progress), align: "right" },
	{ title: "TRIALS", text: ({ trialCount }) => String(trialCount), align: "right" },
	{ title: "CREATED", text: ({ creationTime }) => localTime(creationTime) },
	{ title: "ARCHIVED", text: ({ archived }) => (archived ? "yes" : "") },
	{ title: "NAME", text: ({ name }) => name, isCuttable: true },
	{ title: "LABELS", text: ({ labels }) => labels.join(", "), isCuttable: true },
];

/** Adds `millrace experiment`, whose subcommands show and control experiments. */
export function addExperimentCommand(program: Command, terminal: Terminal): void {
	const experiment = program
		.command("experiment")
		.summary("show and control experiments")
		.description("Show and control experiments.");
	addExample(experiment, "experiment list");

	const list = addVerb(experiment, "list", "list experiments, by default the newest first", "", "--state ACTIVE")
		.addOption(choicesOption("--state <state>", "only those in this state", trialStates))
		.option("--name <text>", "only those whose name contains this, in any case")
		.option("--label <label>", "only those with this label; may be given several times, for all of them", collect)
		.option("--archived", "only those that are archived")
		.option("--no-archived", "only those that are not archived");
	onServer<[], ExperimentListFlags>(addListFlags(list, sortKeys), async (client, _, flags) => {
		const rows = limited(client.listExperiments(filterOf(flags)), flags);
		await printList(terminal, flags, rows, { columns, none: "no experiments" });
	});

	const describe = addVerb(experiment, "describe", "tell all that is known of an experiment", "2", "2 --json");
	addJsonFlag(describe.argument("<id>", "the experiment", experimentId), "a document");
	onServer<[number], JsonFlag>(describe, async (client, [id], flags) => {
		const one = await client.getExperiment(id);
		await printDescription(terminal, flags, one, fieldsOf(one));
	});

	const listTrials = addVerb(experiment, "list-trials", "list the trials of an experiment, the newest first", "2");
	addTrialListFlags(listTrials.argument("<id>", "the experiment", experimentId));
	onServer<[number], TrialListFlags>(listTrials, (client, [id], flags) =>
		printTrials(terminal, flags, (options) => client.getExperiment(id).listTrials(options)),
	);

	const listCheckpoints = addVerb(
		experiment,
		"list-checkpoints",
		"list the checkpoints of its trials, the best first by the searcher's metric",
		"2",
		"2 --sort-by-metric accuracy --limit 1",
	);
	addCheckpointListFlags(listCheckpoints.argument("<id>", "the experiment", experimentId));
	onServer<[number], CheckpointListFlags>(listCheckpoints, (client, [id], flags) =>
		printCheckpoints(terminal, flags, (options) => client.getExperiment(id).listCheckpoints(options)),
	);

	const metrics = addVerb(
		experiment,
		"metrics",
		"show what the trials of an experiment reported, in the order of trials, runs and steps",
		"2 --group validation",
		"2 --name accuracy --chart",
	).argument("<id>", "the experiment", experimentId);
	onServer<[number], MetricsFlags>(addMetricsFlags(metrics, { canFollow: true }), async (client, [id], flags) => {
		const trialIds = (await client.getExperiment(id).listTrials({ sortBy: "ID" })).map((trial) => trial.id);
		const { group, follow } = flags;
		const reports = trialIds.length === 0 ? [] : client.iterTrialsMetrics(trialIds, group, { follow });
		await printMetrics(terminal, flags, { name: `experiment ${id}`, isTrial: false }, reports);
	});

	addExperimentControl(experiment, terminal);
	addExperimentChanges(experiment, terminal);
}

function filterOf(flags: ExperimentListFlags): ListExperimentsOptions {
	const { state, name, label, archived } = flags;
	return {
		...sortingOf(flags),
		...(state !== undefined && { states: state }),
		...(name !== undefined && { name }),
		...(label !== undefined && { labels: label }),
		...(archived !== undefined && { archived }),
	};
}

function fieldsOf(experiment: Experiment) {
	const { id, name, state, progress, trialCount, description, labels, archived, username } = experiment;
	return [
		{ label: "Experiment", text: String(id) },
		{ label: "Name", text: name },
		{ label: "State", text: state, style: stateStyle(experiment) },
		{ label: "Done", text: percent(progress) },
		{ label: "Trials", text: String(trialCount) },
		{ label: "Description", text: description },
		{ label: "Labels", text: labels.join(", ") },
		{ label: "Archived", text: archived ? "yes" : "no" },
		{ label: "User", text: username },
		{ label: "Created", text: localTime(experiment.creationTime) },
		{ label: "Ended", text: localTime(experiment.endTime) },
		{ label: "Took", text: took(experiment) },
		{ label: "Notes", text: experiment.notes },
		{ label: "Configuration", text: yaml(experiment.config) },
	];
}
