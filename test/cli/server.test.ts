import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { readServerAddress } from "../../src/data-directory.js";
import { openConnection } from "../../src/sdk/connection.js";
import { version } from "../../src/version.js";
import { type RunningCommand, runMillrace, startMillrace } from "../support/start-command.js";
import { tempDir } from "../support/temp-dir.js";
import { waitUntil } from "../support/wait-until.js";

async function addressOf(command: RunningCommand): Promise<string> {
	await command.writes("serving at");
	return /serving at (\S+),/.exec(command.stdout())?.[1] ?? "";
}

async function httpAddressOf(command: RunningCommand): Promise<string> {
	await command.writes(/HTTP at .*\n/);
	return /HTTP at (\S+)\n/.exec(command.stdout())?.[1] ?? "";
}

/** A port that is in use until the test ends. */
async function usedPort(): Promise<number> {
	const other = createServer().listen(0, "127.0.0.1");
	after(() => other.close());
	await new Promise((resolve) => other.once("listening", resolve));
	return (other.address() as { port: number }).port;
}

describe("millrace server", { timeout: 240_000 }, () => {
	for (const signal of ["SIGTERM", "SIGINT"] as const) {
		it(`says where it serves, and ends at ${signal}`, async () => {
			const data = join(tempDir(), "data");
			const command = startMillrace(["server", "--port", "0", "--data", data]);
			const address = await addressOf(command);
			const httpAddress = await httpAddressOf(command);
			const line = `millrace server ${version} serving at ${address}, data in ${data}\n`;
			assert.equal(command.stdout(), `${line}JSON over HTTP at ${httpAddress}\n`);
			assert.equal(readServerAddress(data)?.httpAddress, httpAddress);
			assert.equal(await (await fetch(`${httpAddress}/health`)).text(), '{"status":"SERVING"}');
			const connection = openConnection(address);
			assert.equal((await connection.server.getServerInfo({})).dataDirectory, data);
			command.signal(signal);
			const end = await command.ended;
			connection.close();
			assert.deepEqual([end.code, end.stderr], [0, ""]);
			assert.equal(existsSync(join(data, "server.json")), false);
		});
	}

	it("takes the data directory from MILLRACE_DATA, else .millrace", async () => {
		const cwd = tempDir();
		for (const [env, name] of [
			[{ MILLRACE_DATA: "own" }, "own"],
			[{}, ".millrace"],
		] as const) {
			const command = startMillrace(["server", "--port=0"], { cwd, env });
			await command.writes(`data in ${join(cwd, name)}\n`);
			await command.close();
		}
	});

	it("serves other machines only when told so", async () => {
		const data = join(tempDir(), "data");
		const refused = await runMillrace(["server", "--host", "0.0.0.0", "--port", "0", "--data", data]);
		assert.equal(refused.code, 2);
		assert.match(refused.stderr, /^millrace: host is "0\.0\.0\.0", .*--insecure/);
		assert.equal(existsSync(data), false);
		const command = startMillrace(["server", "--host", "0.0.0.0", "--port", "0", "--data", data, "--insecure"]);
		await addressOf(command);
		await command.close();
	});

	it("refuses a directory that has a server, naming it", async () => {
		const data = tempDir();
		const command = startMillrace(["server", "--port", "0", "--data", data]);
		const address = await addressOf(command);
		const end = await runMillrace(["server", "--port", "0", "--data", data]);
		assert.equal(end.code, 2);
		assert.match(
			end.stderr,
			new RegExp(`^millrace: data directory ${data} is in use by the server at ${address} .*\n$`),
		);
		await command.close();
	});

	it("waits for an embedded server that holds the directory, and says so", async () => {
		const data = tempDir();
		const embedded = startMillrace(["server", "--embedded", "--data", data]);
		const address = await addressOf(embedded);
		const connection = openConnection(address);
		await connection.server.getServerInfo({});
		const waiting = startMillrace(["server", "--port", "0", "--data", data]);
		await waiting.writes("waiting for");
		assert.equal(
			waiting.stderr(),
			`millrace: waiting for the embedded server at ${address} (pid ${embedded.pid}), which ends when nobody is connected\n`,
		);
		connection.close();
		assert.notEqual(await addressOf(waiting), address);
		assert.equal((await embedded.ended).code, 0);
		waiting.signal("SIGTERM");
		assert.equal((await waiting.ended).code, 0);
	});

	it("ends at once when it is told to while it waits", async () => {
		const data = tempDir();
		const embedded = startMillrace(["server", "--embedded", "--data", data]);
		const connection = openConnection(await addressOf(embedded));
		await connection.server.getServerInfo({});
		const waiting = startMillrace(["server", "--port", "0", "--data", data]);
		await waiting.writes("waiting for");
		waiting.signal("SIGINT");
		assert.equal((await waiting.ended).code, 130);
		connection.close();
		await embedded.ended;
	});

	it("refuses a port that is in use", async () => {
		const port = await usedPort();
		const end = await runMillrace(["server", "--port", String(port), "--data", tempDir()]);
		assert.equal(end.code, 2);
		assert.match(end.stderr, new RegExp(`^millrace: .*${port}.*--port\n$`));
		assert.equal(end.stdout, "");
	});

	it("serves HTTP on a port of its own, or not at all", async () => {
		const free = createServer().listen(0, "127.0.0.1");
		await new Promise((resolve) => free.once("listening", resolve));
		const { port } = free.address() as { port: number };
		await new Promise((resolve) => free.close(resolve));
		const data = tempDir();
		const named = startMillrace(["server", "--port", "0", "--http-port", String(port), "--data", data]);
		assert.equal(await httpAddressOf(named), `http://127.0.0.1:${port}`);
		named.signal("SIGTERM");
		await named.ended;
		const none = startMillrace(["server", "--port", "0", "--no-http", "--data", data]);
		const address = await addressOf(none);
		none.signal("SIGTERM");
		const { stdout } = await none.ended;
		assert.equal(stdout, `millrace server ${version} serving at ${address}, data in ${data}\n`);
	});

	it("refuses a port for HTTP that is in use, and says how to do without, before it makes a directory", async () => {
		const port = await usedPort();
		const data = join(tempDir(), "data");
		const end = await runMillrace(["server", "--port", "0", "--http-port", String(port), "--data", data]);
		assert.equal(end.code, 2);
		assert.equal(
			end.stderr,
			`millrace: port ${port} on 127.0.0.1 is in use; choose another with --http-port, or serve no HTTP with --no-http\n`,
		);
		assert.equal(existsSync(data), false);
	});

	for (const port of ["first", "70000", "-1", "1.5"]) {
		it(`refuses the port ${port}`, async () => {
			const flag = port === "70000" ? "--http-port" : "--port";
			const end = await runMillrace(["server", `${flag}=${port}`, "--data", tempDir()]);
			assert.equal(end.code, 2);
			assert.match(end.stderr, new RegExp(`${flag} <port>.*Give a number from 0 to 65535`));
		});
	}

	it("takes the calls per second of a connection, and no nonsense for them", async () => {
		const command = startMillrace(["server", "--port", "0", "--data", tempDir(), "--max-calls-per-second", "1"]);
		const connection = openConnection(await addressOf(command), { connectMs: 50, retryMs: 0 });
		const calls = await Promise.allSettled(Array.from({ length: 5 }, () => connection.server.getServerInfo({})));
		assert.ok(calls.some(({ status }) => status === "rejected"));
		connection.close();
		await command.close();
		const end = await runMillrace(["server", "--max-calls-per-second", "0", "--data", tempDir()]);
		assert.equal(end.code, 2);
		assert.match(end.stderr, /Give a whole number from 1 on/);
	});

	it("lives, when embedded, as long as somebody is connected", async () => {
		const data = tempDir();
		const command = startMillrace(["server", "--embedded", "--data", data]);
		const connection = openConnection(await addressOf(command));
		await connection.server.getServerInfo({});
		assert.equal(readServerAddress(data)?.httpAddress, undefined);
		command.signal("SIGINT");
		// Signals that come within a second count as one.
		const closedTerminal = setInterval(() => command.signal("SIGHUP"), 300);
		const until = Date.now() + 4_000;
		await waitUntil("4 seconds of service", async () => {
			await connection.server.getServerInfo({}, { retryMs: 0 });
			return Date.now() > until;
		});
		clearInterval(closedTerminal);
		connection.close();
		const end = await command.ended;
		assert.equal(end.code, 0);
		assert.equal(existsSync(join(data, "server.json")), false);
	});
});
