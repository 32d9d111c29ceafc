import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after } from "node:test";
import { fileURLToPath } from "node:url";
import { connect } from "../../src/sdk/connect.js";
import type { Connection } from "../../src/sdk/connection.js";
import { type FoundProcess, findProcesses } from "./find-processes.js";
import { millraceCommand } from "./millrace-command.js";
import { nodeWithTsx } from "./node-with-tsx.js";
import { type RunningCommand, startMillrace } from "./start-command.js";
import { tempDir } from "./temp-dir.js";
import { waitUntil } from "./wait-until.js";

/** A folder with an experiment's file, whose data directory gets an embedded server. */
export interface ExperimentFolder {
	readonly directory: string;
	/** The experiment's file. */
	readonly path: string;
	/** The data directory. */
	readonly data: string;
	/** Starts `millrace run` on it, with these further arguments, in the folder. It is killed after the test. */
	start(args?: readonly string[], env?: Record<string, string>): RunningCommand;
	/** Asks the data directory's server. */
	read<T>(ask: (connection: Connection) => Promise<T>): Promise<T>;
	/** The living processes that work for it: `millrace run`, launchers, workers, servers. */
	processes(): FoundProcess[];
	/** Waits until the embedded server has ended. */
	serverEnds(): Promise<unknown>;
}

/** Makes one. */
export function experimentFolder(config: object): ExperimentFolder {
	const directory = tempDir();
	const path = join(directory, "conf.yaml");
	const data = join(directory, "data");
	writeFileSync(path, JSON.stringify({ name: "test", ...config }));
	return {
		directory,
		path,
		data,
		start(args = [], env = {}) {
			const command = startMillrace(["run", path, ...args], { cwd: directory, env: { MILLRACE_DATA: data, ...env } });
			after(() => command.close());
			return command;
		},
		async read(ask) {
			const connection = await connect({ dataDirectory: data });
			try {
				return await ask(connection);
			} finally {
				connection.close();
			}
		},
		processes: () => findProcesses(({ environment }) => environment.includes(`MILLRACE_DATA=${data}\n`)),
		serverEnds: () => waitUntil("the end of the embedded server", () => !existsSync(join(data, "server.json"))),
	};
}

/** The entrypoint that launches recording workers. */
export const launchRecordingWorkers: readonly string[] = [
	...millraceCommand,
	"launch",
	"--",
	...nodeWithTsx,
	fileURLToPath(new URL("workers/recording-worker.ts", import.meta.url)),
];

/** The configuration of an experiment whose recording workers have these options. */
export function recordingExperiment(options: object, slots_per_trial = 1): object {
	return {
		entrypoint: launchRecordingWorkers,
		resources: { slots_per_trial },
		environment: { environment_variables: { WORKER_OPTIONS: JSON.stringify(options) } },
	};
}
