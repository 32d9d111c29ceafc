import type { Command } from "commander";
import { dataDirectory, readServerAddress } from "../data-directory.js";
import { hparamsOf } from "../experiment-config.js";
import { readExperimentFile } from "../launcher/experiment-file.js";
import { resumeCommand, serverFlags, type TrialPlace, tlsFlags } from "../launcher/resume-command.js";
import type { Connection } from "../sdk/connection.js";
import { Client, type TlsOptions } from "../sdk/index.js";
import { tlsVariables } from "../sdk/tls-options.js";
import { addExample } from "./example.js";
import { addServerFlags, namedServer, type ServerFlags, withConnection } from "./server-flags.js";
import type { Terminal } from "./terminal.js";
import { spokenTls, tlsOf } from "./tls-flags.js";

/** Adds `millrace trial create`: it records a trial whose workers others start. */
export function addTrialCreateCommand(trial: Command, terminal: Terminal): void {
	const command = trial
		.command("create")
		.description("record the experiment of a YAML file with a trial, without running it, and print the trial's id")
		.argument("<config>", "the experiment's YAML file, with Determined's keys");
	addServerFlags(command).action((path: string, flags: ServerFlags) =>
		withConnection(flags, (connection) => createTrial(connection, path, flags, terminal), { mayCreate: true }),
	);
	addExample(command, "trial create experiment.yaml");
}

async function createTrial(
	connection: Connection,
	path: string,
	flags: ServerFlags,
	terminal: Terminal,
): Promise<void> {
	const client = new Client({ connection });
	const { hasAccounts } = await connection.server.getServerInfo({});
	const { config, warnings } = readExperimentFile(path);
	for (const warning of warnings) {
		terminal.say(`warning: ${path}: ${warning}`);
	}
	const experiment = await client.createExperiment(config);
	const options = { hparams: hparamsOf(config), maxRestarts: config.max_restarts };
	const { id } = await client.createTrial(experiment.id, options);
	const tls = spokenTls(connection, tlsOf(flags));
	const server = serverVariables(flags, tls);
	const nodes = `--nnodes N --node-rank K --nproc-per-node ${config.resources.slots_per_trial}`;
	const place = ["--server", server.MILLRACE_SERVER ?? "HOST:PORT", ...tlsFlags(tls)].join(" ");
	const lines = [
		`recorded experiment ${experiment.id}, trial ${id}`,
		...(config.entrypoint === undefined ? [] : [`millrace run runs it: ${runCommand(path, id, flags)}`]),
		`torchrun, mpirun, srun and the like run it with ${assignments({ ...server, MILLRACE_TRIAL_ID: String(id) })}`,
		`on N nodes, on each: npx millrace launch ${nodes} ${place} --trial ${id} -- WORKER`,
	];
	if (hasAccounts) {
		const words = ["npx millrace trial token", id, ...serverFlags(placeOf(flags))];
		lines.push(`workers that millrace run does not start need a token in MILLRACE_TOKEN: ${words.join(" ")}`);
	}
	for (const line of lines) {
		terminal.say(line);
	}
	// Alone on stdout, for scripts.
	await terminal.print(`${id}\n`);
}

function runCommand(configPath: string, trialId: number, flags: ServerFlags): string {
	return resumeCommand({ trialId, configPath, ...placeOf(flags) });
}

function placeOf(flags: ServerFlags): TrialPlace {
	return { dataDirectory: dataDirectory(flags.data), server: namedServer(flags), tls: tlsOf(flags) };
}

/** The variables that lead workers to the server: by its address, where that lasts. */
function serverVariables(flags: ServerFlags, tls: TlsOptions | undefined): Record<string, string> {
	const named = namedServer(flags);
	const directory = dataDirectory(flags.data);
	const server = named === undefined ? readServerAddress(directory) : undefined;
	const address = named ?? (server?.embedded ? undefined : server?.address);
	if (address === undefined) {
		return { MILLRACE_DATA: directory };
	}
	const variables = tls === undefined ? [] : Object.entries(tlsVariables(tls)).filter(([, value]) => value !== "");
	return { MILLRACE_SERVER: address, ...Object.fromEntries(variables) };
}

function assignments(variables: Readonly<Record<string, string>>): string {
	return Object.entries(variables)
		.map(([name, value]) => `${name}=${/^[\w./:@%+,-]+$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`}`)
		.join(" ");
}
