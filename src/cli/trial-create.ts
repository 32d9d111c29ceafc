import type { Command } from "commander";
import { dataDirectory, readServerAddress } from "../data-directory.js";
import { hparamsOf } from "../experiment-config.js";
import { readExperimentFile } from "../launcher/experiment-file.js";
import { resumeCommand } from "../launcher/resume-command.js";
import type { Client } from "../sdk/index.js";
import { namedServer, print, type ServerFlags, withClient } from "./trial.js";

/** Adds `millrace trial create`: it records a trial whose workers others start. */
export function addTrialCreateCommand(trial: Command): void {
	trial
		.command("create")
		.description("record the experiment of a YAML file with a trial, without running it, and print the trial's id")
		.argument("<config>", "the experiment's YAML file, with Determined's keys")
		.option("--data <directory>", "the data directory (default: MILLRACE_DATA, else .millrace)")
		.option("--server <host:port>", "the server (default: MILLRACE_SERVER, else the data directory's)")
		.action((path: string, flags: ServerFlags) => withClient(flags, (client) => createTrial(client, path, flags)));
}

async function createTrial(client: Client, path: string, flags: ServerFlags): Promise<void> {
	const { config, warnings } = readExperimentFile(path);
	for (const warning of warnings) {
		process.stderr.write(`millrace: warning: ${path}: ${warning}\n`);
	}
	const experiment = await client.createExperiment(config);
	const options = { hparams: hparamsOf(config), maxRestarts: config.max_restarts };
	const { id } = await client.createTrial(experiment.id, options);
	const server = serverName(flags);
	const nodes = `--nnodes N --node-rank K --nproc-per-node ${config.resources.slots_per_trial}`;
	const address = server.MILLRACE_SERVER ?? "HOST:PORT";
	const lines = [
		`recorded experiment ${experiment.id}, trial ${id}`,
		...(config.entrypoint === undefined ? [] : [`millrace run runs it: ${runCommand(path, id, flags)}`]),
		`torchrun, mpirun, srun and the like run it with ${assignments({ ...server, MILLRACE_TRIAL_ID: String(id) })}`,
		`on N nodes, on each: npx millrace launch ${nodes} --server ${address} --trial ${id} -- WORKER`,
	];
	process.stderr.write(lines.map((line) => `millrace: ${line}\n`).join(""));
	// Alone on stdout, for scripts.
	await print(`${id}\n`);
}

function runCommand(configPath: string, trialId: number, flags: ServerFlags): string {
	return resumeCommand({ trialId, configPath, dataDirectory: dataDirectory(flags.data), server: namedServer(flags) });
}

/** The variable that leads workers to the server: by its address, where that lasts. */
function serverName(flags: ServerFlags): { MILLRACE_SERVER?: string; MILLRACE_DATA?: string } {
	const named = namedServer(flags);
	if (named !== undefined) {
		return { MILLRACE_SERVER: named };
	}
	const directory = dataDirectory(flags.data);
	const server = readServerAddress(directory);
	return server === undefined || server.embedded ? { MILLRACE_DATA: directory } : { MILLRACE_SERVER: server.address };
}

function assignments(variables: Readonly<Record<string, string>>): string {
	return Object.entries(variables)
		.map(([name, value]) => `${name}=${/^[\w./:@%+,-]+$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`}`)
		.join(" ");
}
