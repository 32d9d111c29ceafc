import { after } from "node:test";
import { fileURLToPath } from "node:url";
import { type RunningCommand, startCommand } from "./start-command.js";
import { tempDir } from "./temp-dir.js";

/** The command of the built package. */
export const builtCommand = fileURLToPath(new URL("../../bin/millrace.js", import.meta.url));

/** A server of the built package, as a process. */
export interface BuiltServer {
	/** Its address as `host:port`. */
	readonly address: string;
	/** Stops it by SIGTERM, and waits for its end. */
	stop(): Promise<void>;
}

/**
 * Starts the built `millrace server` on an empty data directory and a free port. What is left of it is
 * killed after the test that it is called in.
 *
 * @param node The Node binary that runs it. Default: the one that runs the tests.
 */
export async function startBuiltServer(node = process.execPath): Promise<BuiltServer> {
	let command: RunningCommand | undefined;
	// Registered before the directory's own removal, so that it runs before it.
	after(() => command?.close());
	command = startCommand(node, [builtCommand, "server", "--port", "0", "--data", tempDir()]);
	await command.writes("serving at");
	const { ended, signal } = command;
	return {
		address: /serving at (\S+),/.exec(command.stdout())?.[1] ?? "",
		async stop() {
			signal("SIGTERM");
			const { code, stderr } = await ended;
			if (code !== 0) {
				throw new Error(`the server ended with ${code}:\n${stderr}`);
			}
		},
	};
}
