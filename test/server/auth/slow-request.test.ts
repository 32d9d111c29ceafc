import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { type ClientRequest, type IncomingMessage, request } from "node:http";
import { describe, it } from "node:test";
import { AuthService } from "../../../src/gen/millrace/v1/auth_service_pb.js";
import { startServerWithAccounts } from "../../support/start-server-with-accounts.js";
import { startTestServer } from "../../support/start-test-server.js";
import { passwords } from "../../support/test-passwords.js";
import { waitUntil } from "../../support/wait-until.js";

/** A request whose head has come and whose body has not. */
function begin(httpAddress: string | undefined, method: string, token?: string): ClientRequest {
	const call = request(`${httpAddress}/millrace.v1.AuthService/${method}`, {
		method: "POST",
		headers: {
			"content-type": "application/json",
			...(token !== undefined && { authorization: `Bearer ${token}` }),
		},
	});
	call.write("{");
	return call;
}

async function finish(call: ClientRequest, body: object): Promise<{ status: number | undefined; text: string }> {
	call.end(JSON.stringify(body).slice(1));
	const [answer] = (await once(call, "response")) as [IncomingMessage];
	let text = "";
	for await (const chunk of answer.setEncoding("utf8")) {
		text += chunk;
	}
	return { status: answer.statusCode, text };
}

describe("a request that was let in long before it is whole", { timeout: 60_000 }, () => {
	it("gives nobody a way in who has lost it meanwhile", async () => {
		const server = await startServerWithAccounts({ httpPort: 0 });
		const ada = server.client(AuthService, server.ada);
		const { user } = await ada.createUser({
			...{ requestId: randomUUID(), username: "eve", admin: true, password: passwords.eve },
		});
		const userId = user?.id ?? 0;
		const login = await ada.login({ requestId: randomUUID(), username: "eve", password: passwords.eve });
		const calls = [
			[begin(server.httpAddress, "UpdateUser", login.secret), { userId, active: true }],
			[begin(server.httpAddress, "CreateUser", login.secret), { username: "mallory", password: "let me in now" }],
			[begin(server.httpAddress, "CreateToken", login.secret), { description: "for good" }],
		] as const;
		// They are at the server, which has no sign of it but its connections.
		await waitUntil("the heads to be sent", () => calls.every(([call]) => call.socket?.bytesWritten));
		await server.client(AuthService, login.secret).getMe({});
		await ada.updateUser({ requestId: randomUUID(), userId, active: false });
		for (const [call, body] of calls) {
			assert.deepEqual((await finish(call, body)).status, 401, JSON.stringify(body));
		}
		const users = (await ada.listUsers({})).users.map(({ username, active }) => [username, active]);
		assert.deepEqual(users.slice(0, 2), [
			["ada", true],
			["bob", true],
		]);
		assert.ok(!users.some(([username]) => username === "mallory"));
		assert.deepEqual((await ada.getUser({ user: { case: "userId", value: userId } })).user?.active, false);
	});

	it("makes nobody an admin who began it before there were accounts", async () => {
		const server = await startTestServer({ httpPort: 0 });
		const call = begin(server.httpAddress, "CreateUser");
		await waitUntil("the head to be sent", () => call.socket?.bytesWritten);
		const auth = server.client(AuthService);
		await auth.getMe({});
		await auth.createUser({ requestId: randomUUID(), username: "ada", admin: true, password: "the first password" });
		const { status } = await finish(call, { username: "mallory", admin: true, password: "the second password" });
		assert.equal(status, 401);
	});

	it("is answered without what it held, where that is no message", async () => {
		const server = await startTestServer({ httpPort: 0 });
		const { status, text } = await finish(begin(server.httpAddress, "Login"), { username: "a", password: 12345678 });
		assert.equal(status, 400);
		assert.doesNotMatch(text, /12345678/);
		assert.match(text, /malformed millrace\.v1\.LoginRequest\.password: it has another type/);
	});
});
