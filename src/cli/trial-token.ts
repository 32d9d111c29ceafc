import type { Command } from "commander";
import { trialId } from "./id-argument.js";
import { localTime } from "./shown-time.js";
import type { Terminal } from "./terminal.js";
import { addVerb, onServer } from "./verb.js";

/** Adds `millrace trial token`: it makes a token for workers that another launcher starts. */
export function addTrialTokenCommand(trial: Command, terminal: Terminal): void {
	const command = addVerb(
		trial,
		"token",
		"make a token for workers that another launcher starts, and print it, once; they write to this trial only",
		"5",
	).argument("<id>", "the trial", trialId);
	onServer<[number]>(command, async (client, [id]) => {
		const made = await client.getTrial(id).createWorkerToken();
		const until = localTime(made.expireTime);
		terminal.say(
			`token ${made.id}, for the workers of trial ${id} until ${until}, in MILLRACE_TOKEN; it is shown only here`,
		);
		// Alone on stdout, for scripts.
		await terminal.print(`${made.secret}\n`);
	});
}
