import { runCommandLine } from "../../src/cli/command-line.js";
import { keptTerminal, type Surroundings } from "./kept-terminal.js";

/** How a command line ended in this process. */
export interface CommandLineEnd {
	readonly code: number;
	readonly stdout: string;
	readonly stderr: string;
}

/** A command line that runs in this process. */
export interface InProcessCommand {
	/** What it wrote so far. */
	stdout(): string;
	readonly ended: Promise<CommandLineEnd>;
}

/** Runs `millrace` with these arguments in this process, to its end. */
export function runInProcess(args: readonly string[], surroundings: Surroundings = {}): Promise<CommandLineEnd> {
	return startInProcess(args, surroundings).ended;
}

/** Starts `millrace` with these arguments in this process. */
export function startInProcess(args: readonly string[], surroundings: Surroundings = {}): InProcessCommand {
	const { terminal, stdout, stderr } = keptTerminal(surroundings);
	const ended = runCommandLine(args, terminal).then((code) => ({ code, stdout: stdout(), stderr: stderr() }));
	return { stdout, ended };
}
