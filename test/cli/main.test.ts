import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { readServerAddress } from "../../src/data-directory.js";
import { openConnection } from "../../src/sdk/connection.js";
import { startServer } from "../../src/server/index.js";
import { version } from "../../src/version.js";
import { seedTrial } from "../support/seed-trial.js";
import { type CommandEnd, type RunningCommand, runMillrace, startCommand } from "../support/start-command.js";
import { tempDir } from "../support/temp-dir.js";
import { waitUntil } from "../support/wait-until.js";

describe("millrace", { timeout: 60_000 }, () => {
	it("tells its version", async () => {
		const end = await runMillrace(["--version"]);
		assert.deepEqual([end.code, end.stdout], [0, `${version}\n`]);
	});

	it("lists its commands", async () => {
		const end = await runMillrace(["--help"]);
		assert.equal(end.code, 0);
		for (const name of ["run", "launch", "server", "trial"]) {
			assert.match(end.stdout, new RegExp(`^ {2}${name} `, "m"));
		}
		assert.doesNotMatch(end.stdout, /embedded/);
	});

	it("suggests the nearest command for an unknown one", async () => {
		const end = await runMillrace(["lunch"]);
		assert.equal(end.code, 2);
		assert.match(end.stderr, /unknown command 'lunch'\n\(Did you mean launch\?\)/);
	});

	it("shows its usage without a command", async () => {
		const end = await runMillrace([]);
		assert.equal(end.code, 2);
		assert.match(end.stderr, /Usage: millrace/);
	});

	it("refuses a trial that is no number", async () => {
		const end = await runMillrace(["trial", "outputs", "first"]);
		assert.equal(end.code, 2);
		assert.match(end.stderr, /Give the number of a trial/);
	});

	it("ends quietly when nobody reads its output any more", async () => {
		const workers = "launch -- sh -c 'while :; do echo line; sleep 0.01; done'";
		const end = await shell(`{ MAIN ${workers}; echo "code $?" >&2; } | head -n 1`);
		assert.equal(end.stdout, "[rank=0] line\n");
		assert.equal(end.stderr, "code 141\n");
	});

	it("keeps a server serving when its output cannot be written", async () => {
		const data = tempDir();
		const command = startShell(`exec MAIN server --port 0 --data ${data} > /dev/full`);
		await waitUntil("the server's address", () => existsSync(join(data, "server.json")));
		const connection = openConnection(readServerAddress(data)?.address ?? "");
		try {
			await connection.server.getServerInfo({});
		} finally {
			connection.close();
		}
		command.signal("SIGTERM");
		assert.deepEqual(pick(await command.ended), { code: 0, stdout: "", stderr: "" });
	});
});

describe("millrace trial", { timeout: 60_000 }, () => {
	it("makes no data directory where it is only asked after a trial", async () => {
		const folder = tempDir();
		const end = await runMillrace(["trial", "errors", "1"], { cwd: folder });
		const message = `millrace: there is no data directory ${join(folder, ".millrace")}; run this in the folder of the run, or give --data or --server\n`;
		assert.deepEqual(pick(end), { code: 2, stdout: "", stderr: message });
		assert.deepEqual(readdirSync(folder), []);
	});

	it("ends quietly when the reader of a long list has seen enough", async () => {
		const server = await startServer({ dataDirectory: tempDir(), port: 0 });
		const connection = openConnection(server.address);
		try {
			const { report } = await seedTrial(connection);
			await report(
				"inference",
				Array.from({ length: 3_000 }, (_, i) => ({ index: i, text: "x".repeat(100) })),
			);
			const line = `{ MAIN trial metrics 1 --server ${server.address}; echo "code $?" >&2; } | head -n 2`;
			const { stdout, stderr } = await shell(line);
			assert.match(stdout, /^RUN .*\n {2}1 .* index=0 text=x+\n$/);
			assert.equal(stderr, "code 141\n");
		} finally {
			connection.close();
			await server.close();
		}
	});

	it("pauses and activates a trial, and says its state", async () => {
		const server = await startServer({ dataDirectory: tempDir(), port: 0 });
		const connection = openConnection(server.address);
		try {
			await connection.experiments.createExperiment({ requestId: "e", config: { name: "test" } });
			await connection.trials.createTrial({ requestId: "t", experimentId: 1 });
			const trial = (name: string) => runMillrace(["trial", name, "1", "--server", server.address]);
			assert.deepEqual(pick(await trial("pause")), { code: 0, stdout: "trial 1: PAUSED\n", stderr: "" });
			assert.deepEqual(pick(await trial("activate")), { code: 0, stdout: "trial 1: ACTIVE\n", stderr: "" });
			assert.deepEqual(pick(await trial("outputs")), { code: 0, stdout: "", stderr: "millrace: no outputs\n" });
			const full = await shell(`MAIN trial pause 1 --server ${server.address} > /dev/full`);
			assert.equal(full.code, 1);
			assert.match(full.stderr, /^millrace: stdout cannot be written: ENOSPC/);
		} finally {
			connection.close();
			await server.close();
		}
	});
});

/** Starts a line for the shell in which MAIN stands for `millrace`. */
function startShell(line: string): RunningCommand {
	const main = new URL("../../src/cli/main.ts", import.meta.url).pathname;
	const command = line.replace("MAIN", '"$0" --import "$1" "$2"');
	return startCommand("sh", ["-c", command, process.execPath, import.meta.resolve("tsx"), main]);
}

function shell(line: string): Promise<CommandEnd> {
	return startShell(line).ended;
}

function pick({ code, stdout, stderr }: CommandEnd) {
	return { code, stdout, stderr };
}
