import { after } from "node:test";
import { type RunningCommand, startMillrace } from "./start-command.js";
import { tempDir } from "./temp-dir.js";

/** A server as a process, which can be killed and started again at the same address. */
export function restartableServer() {
	let command: RunningCommand | undefined;
	let port = "0";
	// Registered before the directory's own removal, so that it runs before it.
	after(() => command?.close());
	const data = tempDir();
	return {
		async start(): Promise<string> {
			command = startMillrace(["server", "--port", port, "--no-http", "--data", data]);
			await command.writes("serving at");
			const address = /serving at (\S+),/.exec(command.stdout())?.[1] ?? "";
			port = address.split(":")[1] ?? "";
			return address;
		},
		kill: async () => command?.close(),
	};
}
