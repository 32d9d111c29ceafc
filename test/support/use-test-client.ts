import assert from "node:assert/strict";
import { after, before } from "node:test";
import { type Connection, openConnection } from "../../src/sdk/connection.js";
import { Client } from "../../src/sdk/index.js";
import { type RunningServer, startServer } from "../../src/server/server.js";
import { tempDir } from "./temp-dir.js";

/** A client of a server of its own. It is there while the tests of the suite run. */
export interface TestClient {
	readonly client: Client;
	/** A connection to the same server, for what the SDK has no method for. */
	readonly connection: Connection;
	/** The server's address as `host:port`. */
	readonly address: string;
}

/**
 * For the body of a suite: starts a server on an empty data directory, and a client of it, before the
 * suite's tests, and closes them after.
 */
export function useTestClient(): TestClient {
	let server: RunningServer | undefined;
	let test: TestClient | undefined;
	// Registered before the directory's own removal, so that it runs before it.
	after(async () => {
		await test?.client.close();
		test?.connection.close();
		await server?.close();
	});
	const dataDirectory = tempDir();
	before(async () => {
		server = await startServer({ dataDirectory, port: 0 });
		const connection = openConnection(server.address, { connectMs: 2_000, retryMs: 2_000 });
		test = { client: new Client({ connection }), connection, address: server.address };
	});
	const started = (): TestClient => {
		assert.ok(test !== undefined, "the server starts when the suite's first test does");
		return test;
	};
	return {
		get client() {
			return started().client;
		},
		get connection() {
			return started().connection;
		},
		get address() {
			return started().address;
		},
	};
}
