import type { Command } from "commander";
import type { Experiment } from "../sdk/index.js";
import { addExample } from "./example.js";
import { experimentId } from "./id-argument.js";
import type { Terminal } from "./terminal.js";
import { addVerb, onServer } from "./verb.js";

/** Adds `millrace experiment set` and `millrace experiment label`, which change what is said of an experiment. */
export function addExperimentChanges(experiment: Command, terminal: Terminal): void {
	const set = experiment.command("set").description("set the name, the description or the notes");
	addExample(set, 'experiment set name 2 "digits, again"');
	const addSet = (what: string, example: string, change: (one: Experiment, text: string) => Promise<void>) => {
		const command = addVerb(set, what, `set the ${what}`, example)
			.argument("<id>", "the experiment", experimentId)
			.argument(`<${what}>`, `the new ${what}`);
		onServer<[number, string]>(command, async (client, [id, text]) => {
			await change(await client.getExperiment(id), text);
			await terminal.print(`experiment ${id}: ${what} set\n`);
		});
	};
	addSet("name", '2 "digits, again"', (one, text) => one.setName(text));
	addSet("description", '2 "with the new model"', (one, text) => one.setDescription(text));
	addSet("notes", '2 "# Better on sevens"', (one, text) => one.setNotes(text));

	const label = experiment.command("label").description("add and remove labels");
	addExample(label, "experiment label add 2 nightly");
	const addLabels = (name: string, description: string, change: (one: Experiment, label: string) => Promise<void>) => {
		const command = addVerb(label, name, description, "2 nightly")
			.argument("<id>", "the experiment", experimentId)
			.argument("<label...>", "the labels");
		onServer<[number, string[]]>(command, async (client, [id, labels]) => {
			const one = await client.getExperiment(id);
			for (const text of labels) {
				await change(one, text);
			}
			await terminal.print(`experiment ${id}: labels: ${one.labels.join(", ") || "none"}\n`);
		});
	};
	addLabels("add", "add labels", (one, text) => one.addLabel(text));
	addLabels("remove", "remove labels", (one, text) => one.removeLabel(text));
}
