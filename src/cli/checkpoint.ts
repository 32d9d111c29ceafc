import type { Command } from "commander";
import type { Checkpoint } from "../sdk/index.js";
import {
	addCheckpointListFlags,
	type CheckpointListFlags,
	printCheckpoints,
	sizeOf,
	stepsOf,
} from "./checkpoint-list.js";
import { addCheckpointRemoval } from "./checkpoint-removal.js";
import { addCheckpointTransfer } from "./checkpoint-transfer.js";
import { addExample, exampleUuid } from "./example.js";
import { experimentId, trialId } from "./id-argument.js";
import { addJsonFlag, type JsonFlag } from "./json-flag.js";
import { addMetricsFlags, type MetricsFlags, printMetrics } from "./metrics.js";
import { printDescription } from "./print-description.js";
import { localTime } from "./shown-time.js";
import { byteSize, fileCount, yaml } from "./shown-value.js";
import { stateStyle } from "./state-style.js";
import type { Terminal } from "./terminal.js";
import { addVerb, onServer } from "./verb.js";

interface AnyCheckpointFlags extends CheckpointListFlags {
	trial?: number;
	experiment?: number;
}

/** Adds `millrace checkpoint`, whose subcommands keep the files of models, and show what was reported of them. */
export function addCheckpointCommand(program: Command, terminal: Terminal): void {
	const checkpoint = program
		.command("checkpoint")
		.summary("keep the files of models")
		.description("Keep the files of models, and show what was reported of them.");
	addExample(checkpoint, "checkpoint upload model.onnx", `checkpoint metrics ${exampleUuid} --group inference`);

	const list = addVerb(
		checkpoint,
		"list",
		"list checkpoints, the newest first; those of a trial or an experiment, the best first by the searcher's metric",
		"",
		"--trial 5 --limit 1",
	)
		.option("--trial <id>", "only those of this trial", trialId)
		.option("--experiment <id>", "only those of this experiment's trials", experimentId);
	list.options.find(({ long }) => long === "--trial")?.conflicts("experiment");
	onServer<[], AnyCheckpointFlags>(addCheckpointListFlags(list), (client, _, flags) =>
		printCheckpoints(terminal, flags, (options) => {
			const { trial, experiment } = flags;
			if (trial !== undefined) {
				return client.getTrial(trial).listCheckpoints(options);
			}
			return experiment === undefined
				? client.listCheckpoints(options)
				: client.getExperiment(experiment).listCheckpoints(options);
		}),
	);

	const describe = addVerb(
		checkpoint,
		"describe",
		"tell all that is known of a checkpoint",
		exampleUuid,
		`${exampleUuid} --json`,
	);
	addJsonFlag(describe.argument("<uuid>", "the checkpoint"), "a document");
	onServer<[string], JsonFlag>(describe, async (client, [id], flags) => {
		const one = await client.getCheckpoint(id);
		await printDescription(terminal, flags, one, fieldsOf(one));
	});

	const metrics = addVerb(
		checkpoint,
		"metrics",
		"show what was reported by the trials that used a checkpoint, or a model version of it",
		`${exampleUuid} --group inference`,
		`${exampleUuid} --name accuracy --chart`,
	);
	addMetricsFlags(metrics.argument("<uuid>", "the checkpoint"), { canFollow: false });
	onServer<[string], MetricsFlags>(metrics, (client, [id], flags) => {
		const reports = client.getCheckpoint(id).getMetrics(flags.group);
		return printMetrics(terminal, flags, { name: `checkpoint ${id}`, isTrial: false }, reports);
	});

	addCheckpointTransfer(checkpoint, terminal);
	addCheckpointRemoval(checkpoint, terminal);
}

function fieldsOf(checkpoint: Checkpoint) {
	const { uuid, state, trialId, training, taskId, reportTime, resources, metadata } = checkpoint;
	const files = Object.entries(resources).map(([path, bytes]) => `${path} (${byteSize(bytes)})`);
	const size = `${byteSize(sizeOf(checkpoint))} in ${fileCount(files.length)}`;
	return [
		{ label: "Checkpoint", text: uuid },
		{ label: "State", text: state, style: stateStyle(checkpoint) },
		{ label: "Trial", text: String(trialId ?? "") },
		{ label: "Experiment", text: String(training?.experimentId ?? "") },
		{ label: "Task", text: taskId ?? "" },
		{ label: "Steps", text: stepsOf(checkpoint) },
		{ label: "Created", text: localTime(reportTime) },
		{ label: "Size", text: size },
		{ label: "Metadata", text: yaml(metadata) },
		{ label: "Validation", text: yaml(training?.validationMetrics ?? {}) },
		{ label: "Files", text: files.join("\n") },
	];
}
