import type { Command } from "commander";
import type { Trial } from "../sdk/index.js";
import { addCheckpointListFlags, type CheckpointListFlags, printCheckpoints } from "./checkpoint-list.js";
import { addExample } from "./example.js";
import { experimentId, trialId } from "./id-argument.js";
import { addMetricsFlags, type MetricsFlags, printMetrics } from "./metrics.js";
import type { Terminal } from "./terminal.js";
import { addTrialCreateCommand } from "./trial-create.js";
import { addTrialDescribeCommand } from "./trial-describe.js";
import { addTrialErrorsCommands } from "./trial-errors.js";
import { addTrialListFlags, printTrials, type TrialListFlags } from "./trial-list.js";
import { addTrialLogsCommand } from "./trial-logs.js";
import { addTrialOutputsCommand } from "./trial-outputs.js";
import { addTrialTokenCommand } from "./trial-token.js";
import { addTrialWatchCommand } from "./trial-watch.js";
import { addVerb, onServer } from "./verb.js";

/** Adds `millrace trial`, whose subcommands show and control trials. */
export function addTrialCommand(program: Command, terminal: Terminal): void {
	const trial = program.command("trial").summary("show and control trials").description("Show and control trials.");
	addExample(trial, "trial list", "trial metrics 5 --chart");
	addTrialCreateCommand(trial, terminal);
	addTrialTokenCommand(trial, terminal);

	const list = addVerb(trial, "list", "list trials, the newest first", "", "--experiment 2 --sort-by DURATION").option(
		"--experiment <id>",
		"only those of this experiment; without it, they can be sorted by id only",
		experimentId,
	);
	onServer<[], TrialListFlags & { experiment?: number }>(addTrialListFlags(list), (client, _, flags) => {
		const { experiment } = flags;
		return printTrials(terminal, flags, (options) =>
			experiment === undefined ? client.listTrials(options) : client.getExperiment(experiment).listTrials(options),
		);
	});

	addTrialDescribeCommand(trial, terminal);
	const metrics = addVerb(
		trial,
		"metrics",
		"show what a trial reported, in the order of runs and steps",
		"5 --group inference",
		"5 --name loss --chart",
		"5 --follow --json",
	).argument("<id>", "the trial", trialId);
	onServer<[number], MetricsFlags>(addMetricsFlags(metrics, { canFollow: true }), (client, [id], flags) => {
		const { group, follow } = flags;
		const reports = client.getTrial(id).getMetrics(group, { follow });
		return printMetrics(terminal, flags, { name: `trial ${id}`, isTrial: true }, reports);
	});
	addTrialLogsCommand(trial, terminal);
	addTrialWatchCommand(trial, terminal);
	addTrialOutputsCommand(trial, terminal);
	addTrialErrorsCommands(trial, terminal);

	const listCheckpoints = addVerb(
		trial,
		"list-checkpoints",
		"list the checkpoints of a trial, the best first by the searcher's metric",
		"5",
		"5 --sort-by BATCH_NUMBER --order-by DESC --limit 1",
	);
	addCheckpointListFlags(listCheckpoints.argument("<id>", "the trial", trialId));
	onServer<[number], CheckpointListFlags>(listCheckpoints, (client, [id], flags) =>
		printCheckpoints(terminal, flags, (options) => client.getTrial(id).listCheckpoints(options)),
	);

	const addChange = (name: string, description: string, change: (one: Trial) => Promise<void>) => {
		const command = addVerb(trial, name, description, "5").argument("<id>", "the trial", trialId);
		onServer<[number]>(command, async (client, [id]) => {
			const one = await client.getTrial(id);
			await change(one);
			const isStopping = name === "pause" && one.state === "ACTIVE";
			await terminal.print(`trial ${id}: ${one.state}${isStopping ? ", to be PAUSED at its next commit" : ""}\n`);
		});
	};
	addChange("pause", "ask a trial to stop at its next commit, to go on later", (one) => one.pause());
	addChange("activate", "let a paused or failed trial go on when its workers are started again", (one) =>
		one.activate(),
	);
	addChange("kill", "end a trial at once, for good", (one) => one.kill());
}
