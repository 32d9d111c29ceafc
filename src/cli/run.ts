import { dirname, resolve } from "node:path";
import type { Command } from "commander";
import { dataDirectory } from "../data-directory.js";
import { isMillraceError, MillraceError } from "../errors.js";
import { exitCodes } from "../exit-codes.js";
import { environmentVariablesOf } from "../experiment-config.js";
import { graceMs } from "../grace.js";
import { readExperimentFile } from "../launcher/experiment-file.js";
import { resolveEntrypoint } from "../launcher/resolve-entrypoint.js";
import { runTrial } from "../launcher/run-trial.js";
import { watchParentPipe } from "../parent-pipe.js";
import { connect } from "../sdk/connect.js";
import { tlsVariables } from "../sdk/tls-options.js";
import { onStopSignals } from "../stop-signals.js";
import { addExample } from "./example.js";
import { trialId } from "./id-argument.js";
import { seconds } from "./seconds.js";
import { addServerFlags, namedServer, type ServerFlags, serverChoice } from "./server-flags.js";
import type { Terminal } from "./terminal.js";
import { spokenTls } from "./tls-flags.js";
import { watchNpx } from "./watch-npx.js";

interface RunFlags extends ServerFlags {
	trial?: number;
	retryErrors?: boolean;
	grace?: number;
}

/** Adds `millrace run`: it owns a trial, from its record to its end. */
export function addRunCommand(program: Command, terminal: Terminal): void {
	const command = program
		.command("run")
		.summary("run the experiment of a YAML file")
		.description("Record the experiment of a YAML file, and run its entrypoint until its trial is done.")
		.argument("<config>", "the experiment's YAML file, with Determined's keys");
	addServerFlags(command)
		.option("--trial <id>", "go on with this trial, instead of recording another", trialId)
		.option("--retry-errors", "with --trial: process the records that failed once more")
		.option(
			"--grace <seconds>",
			"how long the workers may take to commit and end after SIGTERM (default: MILLRACE_GRACE, else 30)",
			seconds,
		)
		.action((path: string, flags: RunFlags) => run(path, flags, terminal));
	addExample(command, "run experiment.yaml", "run experiment.yaml --trial 5 --retry-errors");
}

async function run(path: string, flags: RunFlags, terminal: Terminal): Promise<void> {
	const { config, warnings } = readExperimentFile(path);
	for (const warning of warnings) {
		process.stderr.write(`millrace: warning: ${path}: ${warning}\n`);
	}
	const ownNames = Object.keys(environmentVariablesOf(config)).filter((name) => name.startsWith("MILLRACE_"));
	if (ownNames.length > 0) {
		process.stderr.write(
			`millrace: warning: ${path}: environment.environment_variables sets ${ownNames.join(", ")}; ` +
				"millrace run sets the MILLRACE_ names itself, so remove them\n",
		);
	}
	if (flags.data && flags.server) {
		throw new MillraceError(
			"invalid_argument",
			"--data and --server are both given, but a server has its own data directory; give one of them",
		);
	}
	if (flags.retryErrors && flags.trial === undefined) {
		throw new MillraceError("invalid_argument", "--retry-errors is given without --trial; name the trial");
	}
	if (config.entrypoint === undefined) {
		throw new MillraceError(
			"invalid_argument",
			`${path}: entrypoint is missing; say what to run, as in "entrypoint: npx tsx worker.ts"`,
		);
	}
	const { entrypoint } = config;
	const directory = dirname(resolve(path));
	const env = { ...process.env, ...environmentVariablesOf(config) };
	const command = inFile(path, () => resolveEntrypoint(entrypoint, directory, env));

	const stopSignals = onStopSignals({ output: [process.stdout, process.stderr] });
	watchNpx(() => stopSignals.ask("SIGTERM"));
	const choice = serverChoice(flags);
	const connection = await connect(choice);
	const trial = runTrial({
		connection,
		config,
		command,
		directory,
		dataDirectory: dataDirectory(flags.data),
		server: namedServer(flags),
		tls: choice.tls,
		variables: tlsVariables(spokenTls(connection, choice.tls)),
		graceMs: graceMs(flags.grace),
		configPath: path,
		trialId: flags.trial,
		retryErrors: flags.retryErrors,
		stdout: process.stdout,
		stderr: process.stderr,
	});
	let isOrphan = false;
	watchParentPipe(() => {
		isOrphan = true;
		trial.kill();
	});
	stopSignals.deliver((signal) => trial.interrupt(signal));
	const exitCode = await trial.finished;
	connection.close();
	terminal.exitCode = isOrphan ? exitCodes.parentLost : exitCode;
}

/** Lets an error name the file whose content is at fault. */
function inFile<T>(path: string, read: () => T): T {
	try {
		return read();
	} catch (error) {
		throw isMillraceError(error) ? new MillraceError(error.code, `${path}: ${error.message}`, { cause: error }) : error;
	}
}
