import type { Command } from "commander";
import type { ExperimentTrialsOptions, Trial, TrialSortBy, TrialState } from "../sdk/index.js";
import { choicesOption } from "./choice-option.js";
import { addListFlags, type ListFlags, limited, sortingOf } from "./list-flags.js";
import { printList } from "./print-list.js";
import { localTime, took } from "./shown-time.js";
import { pairs, percent } from "./shown-value.js";
import { stateStyle } from "./state-style.js";
import type { Column } from "./table.js";
import type { Terminal } from "./terminal.js";

/** Which trials are listed, and how. */
export interface TrialListFlags extends ListFlags<TrialSortBy> {
	state?: readonly TrialState[];
}

/** The states of trials, and of experiments. */
export const trialStates: readonly TrialState[] = ["ACTIVE", "PAUSED", "COMPLETED", "CANCELED", "ERROR"];

const sortKeys: readonly TrialSortBy[] = [
	"ID",
	"START_TIME",
	"END_TIME",
	"STATE",
	"BATCHES_PROCESSED",
	"DURATION",
	"RESTARTS",
	"CHECKPOINT_SIZE",
	"BEST_VALIDATION_METRIC",
	"LATEST_VALIDATION_METRIC",
];

const columnsOf = (terminal: Terminal): readonly Column<Trial>[] => [
	{ title: "ID", text: ({ id }) => String(id), align: "right" },
	{ title: "EXPERIMENT", text: ({ experimentId }) => String(experimentId), align: "right" },
	{ title: "STATE", text: ({ state }) => state, style: stateStyle },
	{ title: "DONE", text: ({ progress }) => percent(progress), align: "right" },
	{ title: "RUN", text: ({ trialRunId }) => String(trialRunId), align: "right" },
	{ title: "CREATED", text: ({ creationTime }) => localTime(creationTime) },
	{ title: "TOOK", text: took, align: "right" },
	{ title: "HPARAMS", text: ({ hparams }) => pairs(hparams, terminal), isCuttable: true },
];

/** Adds the flags of a list of trials. */
export function addTrialListFlags(command: Command): Command {
	command.addOption(choicesOption("--state <state>", "only those in this state", trialStates));
	return addListFlags(command, sortKeys);
}

/** Prints the trials that `list` gives for the options of the flags. */
export async function printTrials(
	terminal: Terminal,
	flags: TrialListFlags,
	list: (options: ExperimentTrialsOptions) => AsyncIterable<Trial>,
): Promise<void> {
	const rows = list({ ...sortingOf(flags), ...(flags.state !== undefined && { states: flags.state }) });
	await printList(terminal, flags, limited(rows, flags), { columns: columnsOf(terminal), none: "no trials" });
}
