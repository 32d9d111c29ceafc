import { type Command, InvalidArgumentError } from "commander";
import type { Client, Experiment } from "../sdk/index.js";
import { assertServerOrData, print, type ServerFlags, withClient } from "./trial.js";

/** Adds `millrace experiment`, whose subcommands list and control experiments. */
export function addExperimentCommand(program: Command): void {
	const experiment = program
		.command("experiment")
		.summary("list and control experiments")
		.description("List and control experiments.");
	const add = (name: string, description: string) =>
		experiment
			.command(name)
			.description(description)
			.option("--data <directory>", "the data directory (default: MILLRACE_DATA, else .millrace)")
			.option("--server <host:port>", "the server (default: MILLRACE_SERVER, else the data directory's)");
	const ask = (flags: ServerFlags, action: (client: Client) => Promise<void>) => {
		assertServerOrData(flags);
		return withClient(flags, action);
	};
	add("list", "list all experiments, the newest first: id, state, progress, trials, name").action(
		(flags: ServerFlags) => ask(flags, list),
	);
	const addOfOne = (name: string, description: string, action: (experiment: Experiment) => Promise<string>) =>
		add(name, description)
			.argument("<id>", "the experiment", experimentId)
			.action((id: number, flags: ServerFlags) =>
				ask(flags, async (client) => {
					await print(`experiment ${id}: ${await action(await client.getExperiment(id))}\n`);
				}),
			);
	addOfOne("pause", "ask its trials to stop at their next commit, to go on later", async (one) => {
		await one.pause();
		return stateOf(one, "PAUSED");
	});
	addOfOne("activate", "let its paused and failed trials go on when their workers are started again", async (one) => {
		await one.activate();
		return one.state;
	});
	addOfOne("cancel", "end its trials for good, those that run at their next commit", async (one) => {
		await one.cancel();
		return stateOf(one, "CANCELED");
	});
	addOfOne("kill", "end its trials at once", async (one) => {
		await one.kill();
		return one.state;
	});
	addOfOne("delete", "delete it with its trials, their metrics, logs, outputs and checkpoints", async (one) => {
		await one.delete();
		return "deleted";
	});
}

/** Reads the number of an experiment from the command line. */
function experimentId(text: string): number {
	if (!/^[1-9]\d{0,8}$/.test(text)) {
		throw new InvalidArgumentError("Give the number of an experiment, as millrace run prints it.");
	}
	return Number(text);
}

/** Says that what was asked for happens with the next commit, where a trial runs. */
function stateOf({ state, trialCount }: Experiment, asked: string): string {
	return state === "ACTIVE" && trialCount > 0 ? `ACTIVE, to be ${asked} at the next commit` : state;
}

async function list(client: Client): Promise<void> {
	const experiments = await client.listExperiments();
	if (experiments.length === 0) {
		process.stderr.write("millrace: no experiments\n");
	}
	const width = String(experiments[0]?.id ?? 0).length;
	const lines = experiments.map(({ id, state, progress, trialCount, name }) => {
		const part = `${Math.floor(progress * 100)}%`.padStart(4);
		const trials = trialCount === 1 ? "1 trial" : `${trialCount} trials`;
		return `${String(id).padStart(width)}  ${state.padEnd(9)}  ${part}  ${trials.padStart(8)}  ${name}\n`;
	});
	await print(lines.join(""));
}
