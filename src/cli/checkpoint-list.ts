import { type Command, Option } from "commander";
import type { Checkpoint, CheckpointSortBy, CheckpointState, ListCheckpointsOptions } from "../sdk/index.js";
import { choicesOption } from "./choice-option.js";
import { addListFlags, type ListFlags } from "./list-flags.js";
import { printList } from "./print-list.js";
import { age } from "./shown-time.js";
import { byteSize } from "./shown-value.js";
import { stateStyle } from "./state-style.js";
import type { Column } from "./table.js";
import type { Terminal } from "./terminal.js";

/** Which checkpoints are listed, and how. */
export interface CheckpointListFlags extends ListFlags<CheckpointSortBy> {
	sortByMetric?: string;
	state?: readonly CheckpointState[];
}

const sortKeys: readonly CheckpointSortBy[] = [
	"UUID",
	"TRIAL_ID",
	"BATCH_NUMBER",
	"END_TIME",
	"STATE",
	"SEARCHER_METRIC",
];

const states: readonly CheckpointState[] = ["ACTIVE", "COMPLETED", "ERROR", "DELETED", "PARTIALLY_DELETED"];

const columnsOf = (terminal: Terminal): readonly Column<Checkpoint>[] => [
	{ title: "UUID", text: ({ uuid }) => uuid },
	{ title: "STATE", text: ({ state }) => state, style: stateStyle, isCuttable: true },
	{ title: "TRIAL", text: ({ trialId }) => String(trialId ?? ""), align: "right" },
	{ title: "STEPS", text: stepsOf, align: "right" },
	{ title: "SIZE", text: (checkpoint) => byteSize(sizeOf(checkpoint)), align: "right" },
	{ title: "AGE", text: ({ reportTime }) => age(reportTime, terminal.now), align: "right" },
];

/** Adds the flags of a list of checkpoints. */
export function addCheckpointListFlags(command: Command): Command {
	command.addOption(
		choicesOption("--state <state>", "only those in this state (default: those that have files)", states),
	);
	addListFlags(command, sortKeys);
	return command.addOption(
		new Option("--sort-by-metric <name>", "sort by this validation metric, the best first").conflicts("sortBy"),
	);
}

/** Prints the checkpoints that `list` gives for the options of the flags. */
export async function printCheckpoints(
	terminal: Terminal,
	flags: CheckpointListFlags,
	list: (options: ListCheckpointsOptions) => AsyncIterable<Checkpoint>,
): Promise<void> {
	const { sortBy, sortByMetric, orderBy, limit, state } = flags;
	const sort = sortByMetric === undefined ? sortBy : { metric: sortByMetric };
	const rows = list({
		...(sort !== undefined && { sortBy: sort }),
		...(orderBy !== undefined && { orderBy }),
		...(limit !== undefined && { maxResults: limit }),
		...(state !== undefined && { states: state }),
	});
	await printList(terminal, flags, rows, { columns: columnsOf(terminal), none: "no checkpoints" });
}

/** How many steps were completed when a checkpoint was stored; "" where its writer did not say. */
export function stepsOf({ metadata }: Checkpoint): string {
	const { steps_completed: steps } = metadata;
	return typeof steps === "number" ? String(steps) : "";
}

/** The bytes of all files of a checkpoint. */
export function sizeOf({ resources }: Checkpoint): number {
	return Object.values(resources).reduce((sum, bytes) => sum + bytes, 0);
}
