import { spawn } from "node:child_process";
import { assertNoToken } from "./left-secrets.js";
import { millraceCommand } from "./millrace-command.js";
import { waitUntil } from "./wait-until.js";

/** How long a command may take to write what is waited for, on a busy machine. */
const startMs = 60_000;

/** How a command ended. */
export interface CommandEnd {
	readonly code: number | null;
	readonly signal: NodeJS.Signals | null;
	readonly stdout: string;
	readonly stderr: string;
}

/** A running command. */
export interface RunningCommand {
	readonly pid: number;
	/** What it wrote so far. */
	stdout(): string;
	stderr(): string;
	/** Waits until it wrote `text` to stdout or stderr. */
	writes(text: string | RegExp): Promise<void>;
	signal(signal: NodeJS.Signals): void;
	/** Writes to its stdin. */
	types(text: string): void;
	/** Ends its stdin. */
	endStdin(): void;
	/** Resolves when it has ended and its output is complete. */
	readonly ended: Promise<CommandEnd>;
	/** Kills it. */
	close(): Promise<void>;
}

/** Options of `startCommand`. */
export interface StartCommandOptions {
	/** Added to a clean environment; PATH and HOME are always there. */
	readonly env?: Record<string, string>;
	readonly cwd?: string;
	/** All that it reads from its stdin. Default: the stdin stays open. */
	readonly input?: string;
	/** How long it may run, in milliseconds, before it is killed: one that hangs may not keep the tests from ending. Default 240,000. */
	readonly limitMs?: number;
}

/** Starts `millrace` with these arguments. */
export function startMillrace(args: readonly string[], options: StartCommandOptions = {}): RunningCommand {
	const [node, ...command] = millraceCommand;
	return startCommand(node, [...command, ...args], options);
}

/** Runs `millrace` with these arguments to its end. */
export function runMillrace(args: readonly string[], options: StartCommandOptions = {}): Promise<CommandEnd> {
	return startMillrace(args, options).ended;
}

/** Starts a program. */
export function startCommand(
	program: string,
	args: readonly string[],
	options: StartCommandOptions = {},
): RunningCommand {
	const { PATH = "", HOME = "" } = process.env;
	const child = spawn(program, args, {
		stdio: ["pipe", "pipe", "pipe"],
		env: { PATH, HOME, ...options.env },
		timeout: options.limitMs ?? 240_000,
		killSignal: "SIGKILL",
		...(options.cwd === undefined ? {} : { cwd: options.cwd }),
	});
	if (options.input !== undefined) {
		child.stdin.end(options.input);
	}
	let stdout = "";
	let stderr = "";
	child.stdout.setEncoding("utf8").on("data", (text) => {
		stdout += text;
	});
	child.stderr.setEncoding("utf8").on("data", (text) => {
		stderr += text;
	});
	const ended = new Promise<CommandEnd>((resolve, reject) => {
		child.once("error", reject);
		child.once("close", (code, signal) => {
			try {
				assertNoToken(args, stdout + stderr);
				resolve({ code, signal, stdout, stderr });
			} catch (error) {
				reject(error);
			}
		});
	});
	const includes = (output: string, text: string | RegExp) =>
		typeof text === "string" ? output.includes(text) : text.test(output);
	return {
		pid: child.pid ?? 0,
		stdout: () => stdout,
		stderr: () => stderr,
		async writes(text) {
			await waitUntil(
				`${text} in the output`,
				() => {
					if (child.exitCode !== null && !includes(stdout + stderr, text)) {
						throw new Error(`it ended with ${child.exitCode} without writing ${text}:\n${stdout}\n${stderr}`);
					}
					return includes(stdout + stderr, text);
				},
				startMs,
			);
		},
		signal: (signal) => void child.kill(signal),
		types: (text) => void child.stdin.write(text),
		endStdin: () => void child.stdin.end(),
		ended,
		async close() {
			child.kill("SIGKILL");
			await ended;
		},
	};
}

/** Tells whether a process lives; one that is dead and unasked for does not. */
export async function isAlive(pid: number): Promise<boolean> {
	try {
		process.kill(pid, 0);
	} catch {
		return false;
	}
	if (process.platform !== "linux") {
		return true;
	}
	const { readFile } = await import("node:fs/promises");
	const stat = await readFile(`/proc/${pid}/stat`, "latin1").catch(() => ") Z");
	return stat.slice(stat.lastIndexOf(")") + 2)[0] !== "Z";
}
