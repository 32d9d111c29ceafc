import type { Command } from "commander";
import { exitCodes } from "../exit-codes.js";
import type { Experiment } from "../sdk/index.js";
import { addYesFlag, confirmDeletion, type YesFlag } from "./confirm-deletion.js";
import { experimentId } from "./id-argument.js";
import { intervalSeconds } from "./seconds.js";
import type { Terminal } from "./terminal.js";
import { addVerb, onServer } from "./verb.js";

/** Adds the verbs of `millrace experiment` that control an experiment: pause, activate, cancel, kill, wait, … */
export function addExperimentControl(experiment: Command, terminal: Terminal): void {
	const add = (name: string, description: string) =>
		addVerb(experiment, name, description, "2").argument("<id>", "the experiment", experimentId);
	const addChange = (name: string, description: string, change: (one: Experiment) => Promise<string>) =>
		onServer<[number]>(add(name, description), async (client, [id]) => {
			await terminal.print(`experiment ${id}: ${await change(await client.getExperiment(id))}\n`);
		});
	addChange("pause", "ask its trials to stop at their next commit, to go on later", async (one) => {
		await one.pause();
		return stateOf(one, "PAUSED");
	});
	addChange("activate", "let its paused and failed trials go on when their workers are started again", async (one) => {
		await one.activate();
		return one.state;
	});
	addChange("cancel", "end its trials for good, those that run at their next commit", async (one) => {
		await one.cancel();
		return stateOf(one, "CANCELED");
	});
	addChange("kill", "end its trials at once", async (one) => {
		await one.kill();
		return one.state;
	});
	addChange("archive", "make it read-only: none of its trials runs again", async (one) => {
		await one.archive();
		return "archived";
	});
	addChange("unarchive", "make an archived one writable again", async (one) => {
		await one.unarchive();
		return "not archived";
	});

	const wait = add("wait", "wait until it has ended, and print its state; exits 1 unless that is COMPLETED").option(
		"--interval <seconds>",
		"the time between two questions to the server",
		intervalSeconds,
		1,
	);
	onServer<[number], { interval: number }>(wait, async (client, [id], { interval }) => {
		const state = await client.getExperiment(id).wait({ interval });
		await terminal.print(`experiment ${id}: ${state}\n`);
		if (state !== "COMPLETED") {
			terminal.exitCode = exitCodes.failed;
		}
	});

	const remove = add("delete", "delete it with its trials, their metrics, logs, outputs and checkpoints");
	onServer<[number], YesFlag>(addYesFlag(remove), async (client, [id], flags) => {
		const one = await client.getExperiment(id);
		const trials = one.trialCount === 1 ? "its trial" : `its ${one.trialCount} trials`;
		const what = `delete experiment ${id} (${one.name}) with ${trials} and all that they wrote`;
		if (await confirmDeletion(terminal, flags, what)) {
			await one.delete();
			await terminal.print(`experiment ${id}: deleted\n`);
		}
	});
}

/** Says that what was asked for happens with the next commit, where a trial runs. */
function stateOf({ state, trialCount }: Experiment, asked: string): string {
	return state === "ACTIVE" && trialCount > 0 ? `ACTIVE, to be ${asked} at the next commit` : state;
}
