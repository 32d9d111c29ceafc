import { type Command, InvalidArgumentError } from "commander";
import type { Experiment } from "../sdk/index.js";
import { addExample } from "./example.js";
import { addJsonFlag, type JsonFlag } from "./json-flag.js";
import { printList } from "./print-list.js";
import { addServerFlags, type ServerFlags, withClient } from "./server-flags.js";
import { stateStyle } from "./state-style.js";
import type { Column } from "./table.js";
import type { Terminal } from "./terminal.js";

/** Adds `millrace experiment`, whose subcommands list and control experiments. */
export function addExperimentCommand(program: Command, terminal: Terminal): void {
	const experiment = program
		.command("experiment")
		.summary("list and control experiments")
		.description("List and control experiments.");
	addExample(experiment, "experiment list");
	const add = (name: string, description: string) => addServerFlags(experiment.command(name).description(description));
	const list = add("list", "list all experiments, the newest first");
	addJsonFlag(list, "a line each").action((flags: ServerFlags & JsonFlag) =>
		withClient(flags, async (client) => {
			await printList(terminal, flags, client.listExperiments(), { columns, none: "no experiments" });
		}),
	);
	addExample(list, "experiment list");
	const addOfOne = (name: string, description: string, action: (experiment: Experiment) => Promise<string>) =>
		addExample(add(name, description), `experiment ${name} 2`)
			.argument("<id>", "the experiment", experimentId)
			.action((id: number, flags: ServerFlags) =>
				withClient(flags, async (client) => {
					await terminal.print(`experiment ${id}: ${await action(await client.getExperiment(id))}\n`);
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

const columns: readonly Column<Experiment>[] = [
	{ title: "ID", text: ({ id }) => String(id), align: "right" },
	{ title: "STATE", text: ({ state }) => state, style: stateStyle },
	{ title: "DONE", text: ({ progress }) => `${Math.floor(progress * 100)}%`, align: "right" },
	{ title: "TRIALS", text: ({ trialCount }) => String(trialCount), align: "right" },
	{ title: "NAME", text: ({ name }) => name, isCuttable: true },
];
