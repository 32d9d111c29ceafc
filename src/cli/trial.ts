import { type Command, InvalidArgumentError } from "commander";
import { count } from "../launcher/progress-line.js";

interface OutputsFlags {
	data?: string;
	server?: string;
}

/** Adds `millrace trial outputs ID`: what the workers of a trial have committed of its output files. */
export function addTrialCommand(program: Command): void {
	const trial = program.command("trial").description("Look at trials.");
	trial
		.command("outputs")
		.description("List the committed output files of a trial: size in bytes, rank, path.")
		.argument("<id>", "the trial", trialId)
		.option("--data <directory>", "the data directory (default: MILLRACE_DATA, else .millrace)")
		.option("--server <host:port>", "the server (default: MILLRACE_SERVER, else the data directory's)")
		.action(listOutputs);
}

async function listOutputs(id: number, flags: OutputsFlags): Promise<void> {
	const { Client } = await import("../sdk/index.js");
	const client = new Client({ server: flags.server, dataDirectory: flags.data });
	try {
		const outputs = await client.getTrial(id).listOutputs();
		const sizes = outputs.map((output) => count(output.sizeBytes));
		const width = Math.max(0, ...sizes.map((size) => size.length));
		outputs.forEach((output, index) => {
			process.stdout.write(`${sizes[index]?.padStart(width)}  rank ${output.rank}  ${output.path}\n`);
		});
	} finally {
		await client.close();
	}
}

function trialId(text: string): number {
	if (!/^[1-9]\d{0,8}$/.test(text)) {
		throw new InvalidArgumentError("Give the number of a trial, as millrace run prints it.");
	}
	return Number(text);
}
