import { randomUUID } from "node:crypto";
import { AuthService } from "../../src/gen/millrace/v1/auth_service_pb.js";
import { startTestServer, type TestServer, type TestServerOptions } from "./start-test-server.js";
import { passwords } from "./test-passwords.js";

/** A server with accounts: "ada", who is an admin, and "bob", who is not. */
export interface ServerWithAccounts extends TestServer {
	/** Tokens of their logins. */
	readonly ada: string;
	readonly bob: string;
}

/** Starts a server with accounts, which is closed after the test. */
export async function startServerWithAccounts(options: TestServerOptions = {}): Promise<ServerWithAccounts> {
	const server = await startTestServer(options);
	const stranger = server.client(AuthService);
	const login = async (username: "ada" | "bob") =>
		(await stranger.login({ requestId: randomUUID(), username, password: passwords[username] })).secret;
	await stranger.createUser({ requestId: randomUUID(), username: "ada", admin: true, password: passwords.ada });
	const ada = await login("ada");
	await server
		.client(AuthService, ada)
		.createUser({ requestId: randomUUID(), username: "bob", password: passwords.bob });
	return { ...server, ada, bob: await login("bob") };
}
