import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** A server that is a process of its own. */
export interface BenchServer {
	/** Where it listens, as `host:port`. */
	readonly address: string;
	readonly pid: number;
	/** Kills it. */
	stop(): Promise<void>;
}

/** Starts a program of Node's that says on stdout where it is "serving at". It is killed with this process. */
export function startServer(command: readonly string[]): Promise<BenchServer> {
	const child = spawn(process.execPath, command, { stdio: ["ignore", "pipe", "inherit"] });
	process.once("exit", () => child.kill("SIGKILL"));
	const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
	return new Promise((resolve, reject) => {
		child.once("exit", (code) => reject(new Error(`a server ended with ${code}`)));
		createInterface({ input: child.stdout }).on("line", (line) => {
			const address = /serving at ([\d.:]+)/.exec(line)?.[1];
			if (address !== undefined) {
				const stop = () => {
					child.kill("SIGKILL");
					return ended;
				};
				resolve({ address, pid: child.pid ?? 0, stop });
			}
		});
	});
}

/** Starts the built `millrace server` on a free port and an empty directory, which goes with it. */
export async function startMillraceServer(...flags: readonly string[]): Promise<BenchServer> {
	const directory = mkdtempSync(join(tmpdir(), "millrace-bench-"));
	const command = fileURLToPath(new URL("../bin/millrace.js", import.meta.url));
	const server = await startServer([command, "server", "--port", "0", "--data", directory, ...flags]);
	return {
		...server,
		async stop() {
			await server.stop();
			rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
		},
	};
}
