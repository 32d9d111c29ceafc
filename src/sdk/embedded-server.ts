import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, statfsSync, statSync } from "node:fs";
import type { Socket } from "node:net";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { MillraceError, messageOf } from "../errors.js";

/** What came of starting an embedded server: its address, or why there is none. */
export type EmbeddedStart =
	| {
			/** The server's address as `host:port`. */
			readonly address: string;
			/** Ends the server, whoever is connected, and resolves when it is gone. */
			stop(): Promise<void>;
	  }
	| {
			/** The server's own words. */
			readonly failure: string;
			/** Whether it failed because another server holds the directory. */
			readonly isDirectoryTaken: boolean;
	  };

/** How to start an embedded server. */
export interface EmbeddedServerOptions {
	/** The port to listen on. Default: a free one. */
	readonly port?: number;
	/** How long a silent worker is kept, in seconds. Default: as `millrace server` says. */
	readonly leaseSeconds?: number;
}

// From source, on a busy machine, it takes seconds.
const startMs = 60_000;

/**
 * Starts the `millrace server` command on a data directory as a process of its own, and waits until it
 * serves. The server outlives this process, and ends by itself when nobody is connected. What it logs is
 * added to `server.log` in the data directory.
 *
 * Throws `failed_precondition` if the directory cannot be made, or the command is not beside this module.
 */
export async function startEmbeddedServer(
	directory: string,
	{ port = 0, leaseSeconds }: EmbeddedServerOptions = {},
): Promise<EmbeddedStart> {
	const log = openLog(directory);
	try {
		const command = [...serverCommand(), "server", "--embedded", "--port", `${port}`, "--data", directory];
		if (leaseSeconds !== undefined) {
			command.push("--lease", `${leaseSeconds}`);
		}
		const child = spawn(process.execPath, command, {
			detached: true,
			// A token is for those who call.
			env: { ...process.env, MILLRACE_PARENT_PIPE: "", MILLRACE_TOKEN: "" },
			stdio: ["ignore", "pipe", log.file],
		});
		try {
			return await startOf(child, () => log.written() || withoutWords(directory));
		} finally {
			// Neither the process nor its pipe may keep a script alive that is done.
			child.unref();
			child.stdout?.destroy();
		}
	} finally {
		closeSync(log.file);
	}
}

function startOf(child: ChildProcess, written: () => string): Promise<EmbeddedStart> {
	return new Promise((resolve) => {
		const settle = (start: EmbeddedStart) => {
			clearTimeout(timer);
			// The server's later end is none of the starter's concern.
			child
				.removeAllListeners("close")
				.removeAllListeners("error")
				.on("error", () => {});
			resolve(start);
		};
		const fail = (fallback: string) => {
			const failure = written() || fallback;
			// The message of the server's lock. It tells the one failure that another try may mend.
			settle({ failure, isDirectoryTaken: /data directory .* is in use/.test(failure) });
		};
		const timer = setTimeout(() => {
			child.kill("SIGKILL");
			fail(`it did not serve within ${startMs / 1000} s`);
		}, startMs);
		createInterface({ input: child.stdout as Socket }).on("line", (line) => {
			const address = /^millrace server \S+ serving at (\S+), data in /.exec(line)?.[1];
			if (address !== undefined) {
				settle({ address, stop: () => stop(child) });
			}
		});
		child.once("error", (error) => fail(messageOf(error)));
		child.once("close", (code, signal) => fail(`it ended with ${signal ?? `exit code ${code}`} before it served`));
	});
}

async function stop(child: ChildProcess): Promise<void> {
	if (child.exitCode !== null || child.signalCode !== null) {
		return;
	}
	const ended = new Promise((resolve) => child.once("exit", resolve));
	child.ref();
	child.kill("SIGTERM");
	await ended;
}

/** Why a server may have ended without a word; "" where nothing explains it. */
function withoutWords(directory: string): string {
	return statfsSync(directory).bavail > 0
		? ""
		: `the disk of the data directory ${directory} is full; free space on it`;
}

/** Opens the log for appending. `written` gives what was added to it since. */
function openLog(directory: string): { file: number; written: () => string } {
	const path = join(directory, "server.log");
	try {
		mkdirSync(directory, { recursive: true });
		const file = openSync(path, "a");
		const start = statSync(path).size;
		return {
			file,
			written: () =>
				readFileSync(path)
					.subarray(start)
					.toString("utf8")
					.trim()
					.replace(/^millrace: /, ""),
		};
	} catch (cause) {
		throw new MillraceError(
			"failed_precondition",
			`the data directory ${directory} cannot be written: ${messageOf(cause)}; choose another with MILLRACE_DATA, or name a server with MILLRACE_SERVER`,
			{ cause },
		);
	}
}

/** The arguments that make Node run this package's command. */
function serverCommand(): string[] {
	const module = fileURLToPath(import.meta.url);
	const root = packageRoot(dirname(module));
	if (module.endsWith(".ts")) {
		return ["--import", import.meta.resolve("tsx"), join(root, "src/cli/main.ts")];
	}
	const command = join(root, "bin/millrace.js");
	if (!existsSync(command)) {
		throw new MillraceError(
			"failed_precondition",
			"the millrace command is not beside this module, so no server can be started; name one with MILLRACE_SERVER",
		);
	}
	return [command];
}

function packageRoot(directory: string): string {
	const parent = dirname(directory);
	return existsSync(join(directory, "package.json")) || parent === directory ? directory : packageRoot(parent);
}
