import { join } from "node:path";

/** What the command that lets a trial go on depends on. */
export interface ResumedTrial {
	readonly trialId: number;
	/** As the experiment's YAML file has it. */
	readonly entrypoint: string | readonly string[];
	readonly workerCount: number;
	/** Where the entrypoint runs. */
	readonly directory: string;
	/** The data directory, as an absolute path. */
	readonly dataDirectory: string;
	/** The address of the server, if it was named; it is used instead of the data directory's. */
	readonly server?: string | undefined;
}

/** Returns the line for the shell, to be given in any directory, that lets a trial go on. */
export function resumeCommand(trial: ResumedTrial, currentDirectory: string = process.cwd()): string {
	const variables = serverVariables(trial);
	const steps = [
		...(trial.directory === currentDirectory ? [] : [`cd ${quote(trial.directory)}`]),
		[...variables, "npx millrace trial activate", trial.trialId].join(" "),
		[...variables, `MILLRACE_TRIAL_ID=${trial.trialId}`, workersCommand(trial)].join(" "),
	];
	return steps.join(" && ");
}

function serverVariables({ directory, dataDirectory, server }: ResumedTrial): string[] {
	if (server !== undefined) {
		return [`MILLRACE_SERVER=${quote(server)}`];
	}
	return dataDirectory === join(directory, ".millrace") ? [] : [`MILLRACE_DATA=${quote(dataDirectory)}`];
}

function workersCommand({ entrypoint, workerCount }: ResumedTrial): string {
	const launch = `npx millrace launch --nproc-per-node ${workerCount} --`;
	if (typeof entrypoint !== "string") {
		const end = entrypoint.indexOf("--", entrypoint.indexOf("launch"));
		const isLaunch = entrypoint.includes("launch") && end >= 0;
		return [launch, ...entrypoint.slice(isLaunch ? end + 1 : 0).map(quote)].join(" ");
	}
	const line = entrypoint.trim();
	const launched = /^(?:npx\s+)?\S*millrace(?:\.js)?\s+launch(?:\s+-\S+(?:\s+\d+|\s+auto)?)*\s+--\s+([\s\S]+)$/.exec(
		line,
	);
	if (launched !== null) {
		return `${launch} ${launched[1]}`;
	}
	if (/\blaunch\b/.test(line)) {
		// A script that launches somewhere inside starts its own workers.
		return `MILLRACE_SLOTS=${workerCount} sh -c ${quote(line)}`;
	}
	return /[^\w\s./:=@%+,-]/.test(line) || /^\w+=/.test(line) ? `${launch} sh -c ${quote(line)}` : `${launch} ${line}`;
}

function quote(word: string): string {
	return /^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
