import { existsSync } from "node:fs";
import type { Command } from "commander";
import { dataDirectory } from "../data-directory.js";
import { MillraceError } from "../errors.js";
import { count } from "../launcher/progress-line.js";
import type { Client } from "../sdk/index.js";
import { trialId } from "./trial-id.js";

/** Which server a command asks. */
export interface ServerFlags {
	data?: string;
	server?: string;
}

/** Adds `millrace trial`, whose subcommands show and control one trial, and returns it. */
export function addTrialCommand(program: Command): Command {
	const trial = program.command("trial").summary("show and control trials").description("Show and control trials.");
	const add = (name: string, description: string, action: (client: Client, id: number) => Promise<void>) =>
		trial
			.command(name)
			.description(description)
			.argument("<id>", "the trial", trialId)
			.option("--data <directory>", "the data directory (default: MILLRACE_DATA, else .millrace)")
			.option("--server <host:port>", "the server (default: MILLRACE_SERVER, else the data directory's)")
			.action((id: number, flags: ServerFlags) => {
				assertServerOrData(flags);
				return withClient(flags, (client) => action(client, id));
			});
	add("outputs", "list the committed output files of a trial: size in bytes, rank, path", listOutputs);
	add("errors", "list the records of a trial that failed: record, rank, run, message", listErrors);
	add("pause", "ask a trial to stop at its next commit, to go on later", pause);
	add("activate", "let a paused or failed trial go on when its workers are started again", activate);
	return trial;
}

/** Returns the address of the server, if the flags or the environment name one rather than a data directory. */
export function namedServer(flags: ServerFlags): string | undefined {
	return flags.server || (flags.data ? undefined : process.env.MILLRACE_SERVER) || undefined;
}

/** Gives the action a client of the server that the flags name, which is closed after it. */
export async function withClient(flags: ServerFlags, action: (client: Client) => Promise<void>): Promise<void> {
	const { Client } = await import("../sdk/index.js");
	const client = new Client({ server: flags.server, dataDirectory: flags.data });
	try {
		await action(client);
	} finally {
		await client.close();
	}
}

/** Who asks after a trial in the wrong folder must not leave an empty data directory there. */
export function assertServerOrData({ server, data }: ServerFlags): void {
	const directory = dataDirectory(data);
	const isNamed = server || (!data && process.env.MILLRACE_SERVER);
	if (!isNamed && !existsSync(directory)) {
		throw new MillraceError(
			"failed_precondition",
			`there is no data directory ${directory}; run this in the folder of the run, or give --data or --server`,
		);
	}
}

async function listOutputs(client: Client, id: number): Promise<void> {
	const outputs = await client.getTrial(id).listOutputs();
	if (outputs.length === 0) {
		process.stderr.write("millrace: no outputs\n");
	}
	const sizes = outputs.map((output) => count(output.sizeBytes));
	const width = Math.max(0, ...sizes.map((size) => size.length));
	const lines = outputs.map((output, i) => `${sizes[i]?.padStart(width)}  rank ${output.rank}  ${output.path}\n`);
	await print(lines.join(""));
}

async function listErrors(client: Client, id: number): Promise<void> {
	const errors = await client.getTrial(id).listErrors();
	if (errors.length === 0) {
		process.stderr.write("millrace: no errors\n");
	}
	const width = String(errors.at(-1)?.record ?? 0).length;
	const lines = errors.map(({ record, rank, trialRunId, error }) => {
		const message = error.trim().replace(/\s*[\r\n]+\s*/g, " ");
		return `record ${String(record).padStart(width)}  rank ${rank}  run ${trialRunId}  ${message}\n`;
	});
	await print(lines.join(""));
}

async function pause(client: Client, id: number): Promise<void> {
	const trial = await client.getTrial(id);
	await trial.pause();
	const isStopping = trial.state === "ACTIVE";
	await print(`trial ${id}: ${trial.state}${isStopping ? ", to be PAUSED at its next commit" : ""}\n`);
}

async function activate(client: Client, id: number): Promise<void> {
	const trial = await client.getTrial(id);
	await trial.activate();
	await print(`trial ${id}: ${trial.state}\n`);
}

/** Writes to stdout. Throws resource_exhausted or unknown if it cannot be written, as on a full disk. */
export async function print(text: string): Promise<void> {
	const error = await new Promise<NodeJS.ErrnoException | null | undefined>((resolve) =>
		process.stdout.write(text, resolve),
	);
	// The end of the reader is dealt with where all commands start.
	if (error && error.code !== "EPIPE") {
		throw new MillraceError(
			error.code === "ENOSPC" ? "resource_exhausted" : "unknown",
			`stdout cannot be written: ${error.message}; check the disk or file that it goes to`,
			{ cause: error },
		);
	}
}
