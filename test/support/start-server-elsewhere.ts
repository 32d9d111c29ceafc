import { join } from "node:path";
import { after } from "node:test";
import { startMillrace } from "./start-command.js";
import { tempDir } from "./temp-dir.js";

/**
 * Starts a server whose storage has a path that leads elsewhere in every other process, as on another machine.
 * Returns its address and the storage's real path.
 */
export async function startServerElsewhere(): Promise<{ address: string; storage: string }> {
	const cwd = tempDir();
	const command = startMillrace(["server", "--port", "0", "--data", "/proc/self/cwd/data"], { cwd });
	after(() => command.close());
	await command.writes("serving at");
	const address = /serving at (\S+),/.exec(command.stdout())?.[1] ?? "";
	return { address, storage: join(cwd, "data/storage") };
}
