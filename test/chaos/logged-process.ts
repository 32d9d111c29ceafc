import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";

/** A process whose output goes to a file. */
export interface LoggedProcess {
	readonly pid: number;
	/** Resolves when it has ended. */
	readonly ended: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
	/** Whether it has not ended. */
	readonly isRunning: boolean;
	/** Sends it a signal, unless it has ended. */
	signal(signal: NodeJS.Signals): void;
	/** What it wrote so far. */
	output(): string;
}

const running = new Set<ChildProcess>();
process.on("exit", () => {
	for (const child of running) {
		child.kill("SIGKILL");
	}
});

/** Starts Node with these arguments, and adds what it writes to `log`. It is killed when this process ends. */
export function startLogged(args: readonly string[], env: Record<string, string>, log: string): LoggedProcess {
	const { PATH = "", HOME = "" } = process.env;
	const file = openSync(log, "a");
	const child = spawn(process.execPath, args, { stdio: ["ignore", file, file], env: { PATH, HOME, ...env } });
	closeSync(file);
	running.add(child);
	let isRunning = true;
	return {
		pid: child.pid ?? 0,
		ended: new Promise((resolve, reject) => {
			child.once("error", reject);
			child.once("exit", (code, signal) => {
				isRunning = false;
				running.delete(child);
				resolve({ code, signal });
			});
		}),
		get isRunning() {
			return isRunning;
		},
		signal: (signal) => void child.kill(signal),
		output: () => readFileSync(log, "utf8"),
	};
}
