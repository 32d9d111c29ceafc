import { type ExperimentConfig, environmentVariablesOf } from "../experiment-config.js";
import type { TrialRun } from "../gen/millrace/v1/trial_pb.js";
import { ProcessGroup } from "./process-group.js";
import type { OutputStream, StatusLine } from "./status-line.js";

/** What an entrypoint runs with. */
export interface Entrypoint {
	/** The program and its arguments. */
	readonly command: readonly string[];
	/** The working directory. */
	readonly directory: string;
	readonly config: ExperimentConfig;
	/** Variables by which the workers speak to the server as this process does. Default: none. */
	readonly variables?: Readonly<Record<string, string>> | undefined;
	/** The data directory that the workers use, as an absolute path. */
	readonly dataDirectory: string;
	/** How long the workers may take to commit and end after a signal, in milliseconds. */
	readonly graceMs: number;
	readonly stdout: OutputStream;
	readonly stderr: OutputStream;
}

/** What an entrypoint works for, and with which server. */
export interface RunPlace {
	readonly run: TrialRun;
	/** The server's, as `host:port`. */
	readonly address: string;
	/** What the workers show to it, in place of the token of whoever runs them; undefined if it asks for none. */
	readonly token: string | undefined;
}

/** Starts the entrypoint for a run, and passes its output on above the status line. */
export async function startEntrypoint(
	place: RunPlace,
	entrypoint: Entrypoint,
	status: StatusLine,
): Promise<ProcessGroup> {
	const { command, directory, stdout, stderr } = entrypoint;
	const env = environmentOf(place, entrypoint);
	const group = await ProcessGroup.start(command, { cwd: directory, env });
	group.stdout.on("data", (data: Uint8Array) => status.passThrough(stdout, data));
	group.stderr.on("data", (data: Uint8Array) => status.passThrough(stderr, data));
	return group;
}

function environmentOf({ run, address, token }: RunPlace, entrypoint: Entrypoint): NodeJS.ProcessEnv {
	const { config, dataDirectory, graceMs, variables } = entrypoint;
	return {
		...process.env,
		...environmentVariablesOf(config),
		...variables,
		...(token !== undefined && { MILLRACE_TOKEN: token }),
		MILLRACE_SERVER: address,
		MILLRACE_DATA: dataDirectory,
		MILLRACE_TRIAL_ID: String(run.trialId),
		MILLRACE_TRIAL_RUN_ID: String(run.trialRunId),
		MILLRACE_SLOTS: String(config.resources.slots_per_trial),
		MILLRACE_GRACE: String(graceMs / 1_000),
	};
}
