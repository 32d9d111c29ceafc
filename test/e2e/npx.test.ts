import assert from "node:assert/strict";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { readServerAddress } from "../../src/data-directory.js";
import { findProcesses } from "../support/find-processes.js";
import { builtCommand } from "../support/start-built-server.js";
import { startCommand } from "../support/start-command.js";
import { tempDir } from "../support/temp-dir.js";
import { waitUntil } from "../support/wait-until.js";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Starts the built command by the real npx, in a project of its own. */
function startNpx(args: readonly string[]) {
	const project = tempDir();
	mkdirSync(join(project, "node_modules/.bin"), { recursive: true });
	symlinkSync(root, join(project, "node_modules/millrace"));
	symlinkSync(builtCommand, join(project, "node_modules/.bin/millrace"));
	writeFileSync(join(project, "package.json"), "{}");
	const command = startCommand("npx", ["millrace", ...args], { cwd: project, env: { NPX_TEST: project } });
	const processes = () => findProcesses(({ environment }) => environment.includes(`NPX_TEST=${project}\n`));
	return { project, command, processes };
}

describe("npx millrace that gets a SIGTERM of its own", {
	timeout: 120_000,
	skip: process.platform !== "linux",
}, () => {
	it("takes the server along, which closes its data directory", async () => {
		const data = tempDir();
		const { command, processes } = startNpx(["server", "--port", "0", "--data", data]);
		await command.writes("serving at");
		assert.ok(processes().length >= 2);
		command.signal("SIGTERM");
		await command.ended;
		await waitUntil("the server to end", () => processes().length === 0);
		assert.equal(readServerAddress(data), undefined);
	});

	it("lets millrace launch end its workers in their grace", async () => {
		const script = "trap 'echo asked; exit 0' TERM; echo started; while :; do sleep 0.1; done";
		const { command, processes } = startNpx(["launch", "--", "sh", "-c", script]);
		await command.writes("started");
		command.signal("SIGTERM");
		const { stdout } = await command.ended;
		await waitUntil("all to end", () => processes().length === 0);
		assert.match(stdout, /\[rank=0\] asked\n/);
	});

	it("kills nobody in haste where the whole group got the signal", async () => {
		const script = "trap 'echo asked; sleep 3; echo committed; exit 0' TERM; echo started; while :; do sleep 0.1; done";
		const { command, processes } = startNpx(["launch", "--", "sh", "-c", script]);
		await command.writes("started");
		const own = processes().filter(({ command }) => !/^(sh\n-c\ntrap|sleep)/.test(command));
		assert.ok(own.length >= 2);
		for (const { pid } of own.sort((a, b) => b.pid - a.pid)) {
			process.kill(pid, "SIGTERM");
		}
		const { stdout } = await command.ended;
		await waitUntil("all to end", () => processes().length === 0);
		assert.match(stdout, /asked\n.*committed\n/s);
	});
});
