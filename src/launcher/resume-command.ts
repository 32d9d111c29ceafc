import { resolve } from "node:path";
import type { TlsOptions } from "../sdk/tls-options.js";

/** Where a trial is remembered, as far as the command line names it. */
export interface TrialPlace {
	/** The data directory, as an absolute path. */
	readonly dataDirectory: string;
	/** The address of the server, if it was named; it is used instead of the data directory's. */
	readonly server?: string | undefined;
	/** How TLS is spoken to the server, if that was named. */
	readonly tls?: TlsOptions | undefined;
}

/** What the command that lets a trial go on depends on. */
export interface ResumedTrial extends TrialPlace {
	readonly trialId: number;
	/** The experiment's YAML file, as the user named it. */
	readonly configPath: string;
}

/** Returns the line for the shell, to be given in `currentDirectory`, that lets a trial go on. */
export function resumeCommand(trial: ResumedTrial, currentDirectory: string = process.cwd()): string {
	const { trialId, configPath } = trial;
	return ["npx millrace run", quote(configPath), "--trial", trialId, ...serverFlags(trial, currentDirectory)].join(" ");
}

/** Returns the line for the shell that lists the records of a trial that failed. */
export function errorsCommand(trialId: number, place: TrialPlace, currentDirectory: string = process.cwd()): string {
	return ["npx millrace trial errors", trialId, ...serverFlags(place, currentDirectory)].join(" ");
}

/** Returns the flags of a command that lead it to a server from a directory, quoted for the shell. */
export function serverFlags(
	{ dataDirectory, server, tls }: TrialPlace,
	currentDirectory: string = process.cwd(),
): string[] {
	if (server !== undefined) {
		return ["--server", quote(server), ...tlsFlags(tls)];
	}
	const data = dataDirectory === resolve(currentDirectory, ".millrace") ? [] : ["--data", quote(dataDirectory)];
	return [...data, ...tlsFlags(tls)];
}

/** Returns the flags of a command, quoted for the shell, that let it speak TLS in this way. */
export function tlsFlags(tls: TlsOptions | undefined): string[] {
	if (tls === undefined) {
		return [];
	}
	const flags = [
		["--tls-ca", tls.ca],
		["--tls-cert", tls.cert],
		["--tls-key", tls.key],
		["--tls-server-name", tls.serverName],
	].flatMap(([flag, value]) => (flag && value ? [flag, quote(value)] : []));
	return flags.length === 0 ? ["--tls"] : flags;
}

function quote(word: string): string {
	return /^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
