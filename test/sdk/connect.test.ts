import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { cpSync, existsSync, readdirSync, writeFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { create } from "@bufbuild/protobuf";
import { readServerAddress, writeServerAddress } from "../../src/data-directory.js";
import { GetServerInfoResponseSchema, ServerService } from "../../src/gen/millrace/v1/server_service_pb.js";
import { connect, loginNames } from "../../src/sdk/connect.js";
import { openConnection } from "../../src/sdk/connection.js";
import { Client } from "../../src/sdk/index.js";
import { keepLogin } from "../../src/sdk/token-file.js";
import { errorWith } from "../support/error-with.js";
import { nodeWithTsx } from "../support/node-with-tsx.js";
import { type CommandEnd, startCommand } from "../support/start-command.js";
import { startRpcServer } from "../support/start-rpc-server.js";
import { startServerWithAccounts } from "../support/start-server-with-accounts.js";
import { startTestServer } from "../support/start-test-server.js";
import { tempDir } from "../support/temp-dir.js";
import { useTestClient } from "../support/use-test-client.js";
import { waitUntil } from "../support/wait-until.js";

/** Makes a data directory one on which no embedded server starts. */
function breakDatabase(directory: string): void {
	const text = "this is no database, but it is long enough to be read as one";
	writeFileSync(join(directory, "millrace.db"), text.repeat(100));
}

/** An address of this machine that is not loopback; undefined if it has none. */
function ownAddress(): string | undefined {
	const addresses = Object.values(networkInterfaces()).flatMap((all) => all ?? []);
	return addresses.find(({ family, internal }) => family === "IPv4" && !internal)?.address;
}

const [node, ...tsx] = nodeWithTsx;

/** Runs one of the scripts as a user does, to its own end. */
function runScript(name: string, env: Record<string, string>): Promise<CommandEnd> {
	const path = fileURLToPath(new URL(`scripts/${name}.ts`, import.meta.url));
	return startCommand(node, [...tsx, path], { env, cwd: tempDir() }).ended;
}

/** Waits until the embedded server of a directory has ended by itself. */
async function serverEnds(directory: string): Promise<void> {
	await waitUntil("the embedded server to end", () => readServerAddress(directory) === undefined, 20_000);
}

const succeeded = { code: 0, signal: null, stderr: "" };

describe("openConnection", { timeout: 30_000 }, () => {
	it("throws invalid_argument for what is no address", () => {
		for (const address of ["", "localhost", "http://localhost:80", "localhost:0", "localhost:65536", "a b:1", ":1"]) {
			assert.throws(() => openConnection(address), {
				code: "invalid_argument",
				message: `the server ${JSON.stringify(address)} is not an address; write host:port, such as 127.0.0.1:8090`,
			});
		}
	});

	it("takes names, IPv4 and IPv6", () => {
		for (const address of ["localhost:8090", "127.0.0.1:1", "[::1]:8090", "my-host.example:65535"]) {
			openConnection(address).close();
		}
	});

	it("says that no server answers", async () => {
		const connection = openConnection("127.0.0.1:1", { connectMs: 2_000 });
		await assert.rejects(connection.server.getServerInfo({}), {
			code: "unavailable",
			message:
				/^no answer from a Millrace server at 127\.0\.0\.1:1 for \S+ s; is it running\? \(connect ECONNREFUSED 127\.0\.0\.1:1\)$/,
		});
		connection.close();
	});
});

describe("connect", { timeout: 120_000 }, () => {
	const test = useTestClient();

	it("prefers the server that is named, then MILLRACE_SERVER", async () => {
		const named = await connect({ server: test.address, dataDirectory: "/nowhere" });
		assert.equal(named.address, test.address);
		named.close();
		const { stdout, ...end } = await runScript("print-address", { MILLRACE_SERVER: test.address });
		assert.deepEqual(end, succeeded);
		assert.equal(stdout, `address=${test.address}\n`);
	});

	it("prefers a data directory that is named to MILLRACE_SERVER", async (t) => {
		process.env.MILLRACE_SERVER = "127.0.0.1:1";
		t.after(() => delete process.env.MILLRACE_SERVER);
		const { dataDirectory } = await test.connection.server.getServerInfo({});
		const connection = await connect({ dataDirectory });
		connection.close();
		assert.equal(connection.address, test.address);
	});

	it("names MILLRACE_SERVER where its address is malformed", async (t) => {
		process.env.MILLRACE_SERVER = "nowhere";
		t.after(() => delete process.env.MILLRACE_SERVER);
		await assert.rejects(connect(), {
			code: "invalid_argument",
			message: /^MILLRACE_SERVER "nowhere" is not an address/,
		});
	});

	it("finds the live server of the data directory", async () => {
		const { dataDirectory } = await test.connection.server.getServerInfo({});
		const { stdout, ...end } = await runScript("print-address", { MILLRACE_DATA: dataDirectory });
		assert.deepEqual(end, succeeded);
		assert.equal(stdout, `address=${test.address}\n`);
	});

	it("starts an embedded server, which remembers; scripts end by themselves, and it ends after them", async () => {
		const data = join(tempDir(), "data");
		const written = await runScript("write-model", { MILLRACE_DATA: data });
		const stderr = `millrace: new data directory ${data}\n`;
		assert.deepEqual(written, { ...succeeded, stdout: "created from a script\n", stderr });
		await serverEnds(data);
		const read = await runScript("read-models", { MILLRACE_DATA: data });
		assert.deepEqual(read, { ...succeeded, stdout: "read from a script\n" });
		await serverEnds(data);
	});

	it("starts one server for two processes that start at once", async () => {
		const data = tempDir();
		const ends = await Promise.all([1, 2].map(() => runScript("print-address", { MILLRACE_DATA: data })));
		for (const { stdout, ...end } of ends) {
			assert.deepEqual(end, succeeded);
			assert.match(stdout, /^address=127\.0\.0\.1:\d+\n$/);
		}
		assert.equal(ends[0]?.stdout, ends[1]?.stdout);
		await serverEnds(data);
	});

	it("does not take a server of another directory that has got the address since", async () => {
		const data = tempDir();
		writeServerAddress(data, { address: test.address, pid: 1, host: "here", version: "0.1.0" });
		const client = new Client({ dataDirectory: data });
		await client.createModel("mine");
		assert.notEqual(readServerAddress(data)?.address, test.address);
		await client.close();
		await serverEnds(data);
		assert.deepEqual(await test.client.listModels(), []);
	});

	it("finds the server of its directory that tells strangers nothing of that, and shows it the login", async (t) => {
		const host = ownAddress();
		if (host === undefined) {
			t.skip("this machine has no address but those of loopback");
			return;
		}
		const { ada, dataDirectory, ...first } = await startServerWithAccounts();
		await first.close();
		const { address } = await startTestServer({ dataDirectory, host });
		const config = tempDir();
		const environment = { XDG_CONFIG_HOME: config };
		const found = await connect({ dataDirectory, token: "" }, environment);
		assert.equal(found.address, address);
		assert.equal((await found.server.getServerInfo({})).dataDirectory, "");
		found.close();
		const login = { username: "ada", token: ada, expireTime: null };
		await keepLogin(loginNames({ address }, dataDirectory), login, environment);
		const known = await connect({ dataDirectory }, environment);
		assert.equal((await known.auth.getMe({})).user?.username, "ada");
		known.close();
	});

	it("takes no server that tells nothing of its directory and has another id, or whose id an old program left out", async () => {
		const info = { clusterId: randomUUID(), version: "0.1.0", hasAccounts: true };
		const { address } = await startRpcServer((rpc) =>
			rpc.add(ServerService, { getServerInfo: async () => create(GetServerInfoResponseSchema, info) }),
		);
		for (const clusterId of [randomUUID(), undefined]) {
			const data = tempDir();
			writeServerAddress(data, { address, pid: 1, host: "here", version: "0.1.0", clusterId });
			breakDatabase(data);
			await assert.rejects(connect({ dataDirectory: data }), errorWith("failed_precondition", /did not start/));
		}
	});

	it("takes no server of a directory of which its own is a copy", async () => {
		const { dataDirectory } = await test.connection.server.getServerInfo({});
		const copy = tempDir();
		cpSync(join(dataDirectory, "server.json"), join(copy, "server.json"));
		assert.equal(readServerAddress(copy)?.address, test.address);
		breakDatabase(copy);
		await assert.rejects(connect({ dataDirectory: copy }), errorWith("failed_precondition", /did not start/));
	});

	it("gives the embedded server's own words when it does not start", async () => {
		const data = tempDir();
		breakDatabase(data);
		await assert.rejects(connect({ dataDirectory: data }), {
			code: "failed_precondition",
			message: new RegExp(`^the embedded server on ${data} did not start: .*(database|SQLITE)`, "s"),
		});
	});

	it("says that a data directory cannot be made", async () => {
		const file = join(tempDir(), "file");
		writeFileSync(file, "");
		await assert.rejects(connect({ dataDirectory: join(file, "data") }), {
			code: "failed_precondition",
			message: /^the data directory .*file\/data cannot be written: .*choose another with MILLRACE_DATA/,
		});
	});
});

describe("Client", { timeout: 60_000 }, () => {
	const test = useTestClient();

	it("sends nothing for chains that are dropped, and starts no server", async () => {
		const data = join(tempDir(), "data");
		const end = await runScript("drop-chains", { MILLRACE_DATA: data });
		assert.deepEqual(end, { ...succeeded, stdout: "dropped\n" });
		assert.equal(existsSync(data), false);
	});

	it("fails with failed_precondition after it was closed", async () => {
		const client = new Client({ server: test.address });
		assert.deepEqual(await client.listModels(), []);
		await client.close();
		await assert.rejects(async () => await client.listModels(), {
			code: "failed_precondition",
			message: "this client is closed; make a new one",
		});
		await client.close();
	});

	it("leaves a connection open that it was given", async () => {
		const client = new Client({ connection: test.connection });
		await client.close();
		await test.connection.server.getServerInfo({});
	});

	it("does nothing when it is made", async () => {
		const directory = tempDir();
		const client = new Client({ dataDirectory: join(directory, "data") });
		await client.close();
		assert.deepEqual(readdirSync(directory), []);
	});
});
