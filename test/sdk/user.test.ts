import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { openConnection } from "../../src/sdk/connection.js";
import { Client, User } from "../../src/sdk/index.js";
import { errorWith } from "../support/error-with.js";
import { startServerWithAccounts } from "../support/start-server-with-accounts.js";
import { startTestServer } from "../support/start-test-server.js";
import { passwords } from "../support/test-passwords.js";
import { waitUntil } from "../support/wait-until.js";

describe("accounts", { timeout: 60_000 }, async () => {
	const server = await startServerWithAccounts();
	const clients: Client[] = [];
	after(() => Promise.all(clients.map((client) => client.close())));

	/** Makes a client that shows no token. */
	function stranger(address = server.address): Client {
		const client = new Client({ server: address });
		clients.push(client);
		return client;
	}

	async function loggedIn(username: keyof typeof passwords): Promise<Client> {
		const client = stranger();
		await client.login({ username, password: passwords[username] });
		return client;
	}

	const ada = await loggedIn("ada");
	const bob = await loggedIn("bob");

	it("begin with the first admin, who logs in and out", async () => {
		const bare = await startTestServer();
		const client = stranger(bare.address);
		assert.equal(await client.getSessionUsername(), "determined");
		await assert.rejects(
			client.createUser("eve", { password: "long enough" }),
			errorWith("failed_precondition", /make an admin with a password first/),
		);
		const first = await client.createUser("eve", { admin: true, password: "long enough" });
		assert.deepEqual([first.username, first.admin, first.active, first.remote], ["eve", true, true, false]);
		await assert.rejects(
			async () => client.whoami(),
			errorWith("unauthenticated", /`millrace user login`, or put a token into MILLRACE_TOKEN/),
		);
		await assert.rejects(
			client.login({ username: "eve", password: "too short" }),
			errorWith("unauthenticated", /no user has this name and password/),
		);
		const user = await client.login({ username: "eve", password: "long enough" });
		assert.deepEqual({ ...user }, { ...first });
		assert.deepEqual({ ...(await client.whoami()) }, { ...first });
		assert.equal(await client.getSessionUsername(), "eve");
		await client.createModel("digits");
		await client.logout();
		await assert.rejects(client.createModel("other"), errorWith("unauthenticated", /log in by/));
		await assert.rejects(client.logout(), errorWith("unauthenticated", /log in by/), "there is nothing to revoke");
	});

	it("are found by id and name, listed, changed, deactivated and activated", async () => {
		const user = await ada.createUser("carol", { password: passwords.carol, displayName: "Carol" });
		assert.ok(user instanceof User);
		assert.deepEqual({ ...(await ada.getUserById(user.userId)) }, { ...user });
		assert.deepEqual({ ...(await bob.getUserByName("carol")) }, { ...user });
		await assert.rejects(async () => ada.getUserByName("nobody"), errorWith("not_found", /"nobody"/));
		await assert.rejects(
			bob.createUser("dan", { remote: true }),
			errorWith("permission_denied", /only admins make users/),
		);
		const robot = await ada.createUser("robot", { remote: true });
		assert.equal(robot.remote, true);
		await user.changeDisplayName("Carol C.");
		await user.setAdmin(true);
		assert.deepEqual([user.displayName, user.admin], ["Carol C.", true]);
		await user.setAdmin(false);
		await ada.getUserByName("robot").deactivate();
		const names = async (options: { active?: boolean }) => (await ada.listUsers(options)).map((one) => one.username);
		assert.deepEqual(await names({}), ["ada", "bob", "carol", "determined", "robot"]);
		assert.deepEqual(await names({ active: false }), ["robot"]);
		assert.deepEqual(await names({ active: true }), ["ada", "bob", "carol", "determined"]);
		assert.equal(robot.active, true, "of before");
		await robot.reload();
		assert.equal(robot.active, false);
		await robot.activate();
		assert.equal(robot.active, true);
		await assert.rejects(ada.getUserByName("ada").deactivate(), errorWith("failed_precondition", /no active admin/));
	});

	it("have passwords, which their users and admins change, and whose change revokes the other tokens", async () => {
		const dan = await ada.createUser("dan", { password: passwords.dan });
		const [one, other] = [stranger(), stranger()];
		await one.login({ username: "dan", password: passwords.dan });
		await other.login({ username: "dan", password: passwords.dan });
		const self = await one.whoami();
		await assert.rejects(
			self.changePassword("the second of dan", { oldPassword: "a guess" }),
			errorWith("permission_denied", /old_password is wrong/),
		);
		await self.changePassword("the second of dan", { oldPassword: passwords.dan });
		assert.equal(await one.getSessionUsername(), "dan");
		await assert.rejects(other.getSessionUsername(), errorWith("unauthenticated", /token was revoked; log in again/));
		await other.logout();
		await dan.changePassword("the third of dan");
		await assert.rejects(one.getSessionUsername(), errorWith("unauthenticated", /token was revoked; log in again/));
		await one.login({ username: "dan", password: "the third of dan" });
	});

	it("have tokens, for programs, which are listed and revoked", async () => {
		const expireTime = new Date(Date.now() + 60_000);
		const { secret, ...token } = await bob.createToken({ description: "nightly", expireTime });
		assert.match(secret, /^mlr_/);
		assert.deepEqual(
			[token.username, token.description, token.trialId, token.trialRunId, token.expireTime],
			["bob", "nightly", null, null, expireTime],
		);
		const own = await bob.listTokens();
		assert.deepEqual(own[0], token);
		assert.equal("secret" in (own[0] ?? {}), false);
		assert.deepEqual(new Set(own.map(({ username }) => username)), new Set(["bob"]));
		const { userId } = await ada.getUserByName("bob");
		assert.deepEqual((await ada.listTokens({ userId }))[0], token);
		assert.ok((await ada.listTokens()).some(({ username }) => username === "ada"));
		await assert.rejects(
			async () => bob.listTokens({ userId: (await ada.whoami()).userId }),
			errorWith("permission_denied", /only admins see the tokens of others/),
		);
		const byAda = await ada.createToken({ userId });
		assert.equal(byAda.username, "bob");
		await bob.revokeToken(token.id);
		await ada.revokeToken(byAda.id);
		assert.ok((await bob.listTokens()).every(({ id }) => id !== token.id && id !== byAda.id));
	});

	it("have tokens for workers, which read all and write to their own trial", async () => {
		const { id: experimentId } = await bob.createExperiment({ name: "workers", entrypoint: "true" });
		const [own, other] = [await bob.createTrial(experimentId), await bob.createTrial(experimentId)];
		const { secret, ...token } = await own.createWorkerToken();
		assert.deepEqual([token.trialId, token.trialRunId, token.username], [own.id, null, "bob"]);
		const inDays = ((token.expireTime?.getTime() ?? 0) - Date.now()) / 86_400_000;
		assert.ok(inDays > 29 && inDays <= 30, `it ends in ${inDays} days`);
		const connection = openConnection(server.address, { security: { token: secret } });
		after(() => connection.close());
		const worker = new Client({ connection });
		assert.equal(await worker.getSessionUsername(), "bob");
		assert.equal((await worker.getTrial(other.id)).id, other.id);
		const checkpoint = await bob.uploadCheckpoint(fileURLToPath(import.meta.url));
		await worker.getTrial(own.id).reportTaskUsingCheckpoint(checkpoint);
		await assert.rejects(
			worker.getTrial(other.id).reportTaskUsingCheckpoint(checkpoint),
			errorWith("permission_denied", /workers of trial \d+, which may not write to trial \d+; use a user's token/),
		);
		await assert.rejects(worker.createModel("x"), errorWith("permission_denied", /CreateModel is not for workers/));
		await assert.rejects(own.createWorkerToken({ trialRunId: 1 }), errorWith("not_found", /has no run 1/));
	});

	it("have an audit log of what was asked for, by whom, from where, and how it ended", async () => {
		const { modelId } = await bob.createModel("audited");
		await assert.rejects(bob.createUser("nobody"), errorWith("permission_denied", /admins/));
		await bob.getModel("audited").delete();
		const [removal, refusal, creation] = await waitUntil("the last outcome", async () => {
			const entries = await ada.listAuditLog({ username: "bob" });
			return entries[0]?.outcome === null ? undefined : entries;
		});
		assert.deepEqual(
			[removal, refusal, creation].map((entry) => [entry?.username, entry?.method, entry?.subject, entry?.outcome]),
			[
				["bob", "millrace.v1.ModelService/DeleteModel", { model: String(modelId) }, "ok"],
				[
					"bob",
					"millrace.v1.AuthService/CreateUser",
					{ username: "nobody", admin: false, remote: false },
					"permission_denied",
				],
				["bob", "millrace.v1.ModelService/CreateModel", { name: "audited" }, "ok"],
			],
		);
		assert.match(creation?.peer ?? "", /^127\.0\.0\.1:\d+$/);
		assert.ok((creation?.tokenId ?? 0) > 0);
		assert.ok(Date.now() - (creation?.time.getTime() ?? 0) < 60_000);
		assert.ok((removal?.id ?? 0) > (creation?.id ?? 0));
		await assert.rejects(async () => bob.listAuditLog(), errorWith("permission_denied", /for admins/));
	});

	it("lead to another server by a login there, and leave to objects of before the one that they came from", async () => {
		const other = await startTestServer();
		const client = await loggedIn("ada");
		const model = await client.createModel("of the first server");
		const user = await client.login({ server: other.address, username: "determined", password: "" });
		assert.equal(user.username, "determined");
		assert.deepEqual(await client.listModels(), []);
		await model.setDescription("still there");
		await assert.rejects(
			client.login({ server: server.address, username: "ada", password: "wrong password" }),
			errorWith("unauthenticated", /no user/),
		);
		assert.equal(await client.getSessionUsername(), "determined", "a login that fails changes nothing");
	});

	it("show no password in an error", async () => {
		const wrong = { username: "ada", password: 12_345_678 as unknown as string };
		for (const call of [
			() => ada.login(wrong),
			() => ada.login("12345678" as unknown as typeof wrong),
			() => ada.createUser("x", "12345678" as unknown as object),
			() => ada.createUser("x", wrong),
			async () => (await ada.whoami()).changePassword(12_345_678 as unknown as string),
			async () => (await ada.whoami()).changePassword("long enough", "12345678" as unknown as object),
		]) {
			await assert.rejects(call(), (error: Error) => {
				assert.equal(Reflect.get(error, "code"), "invalid_argument");
				assert.doesNotMatch(error.message, /12345678|12_345_678/);
				return true;
			});
		}
	});
});
