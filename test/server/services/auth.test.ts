import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import type { DescService } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { Token } from "../../../src/gen/millrace/v1/auth_pb.js";
import { AuthService } from "../../../src/gen/millrace/v1/auth_service_pb.js";
import { MetricService } from "../../../src/gen/millrace/v1/metric_service_pb.js";
import { ModelService } from "../../../src/gen/millrace/v1/model_service_pb.js";
import { TrialService } from "../../../src/gen/millrace/v1/trial_service_pb.js";
import { errorWith } from "../../support/error-with.js";
import { startServerWithAccounts } from "../../support/start-server-with-accounts.js";
import { passwords } from "../../support/test-passwords.js";
import { waitUntil } from "../../support/wait-until.js";
import { startTrial } from "../start-trial.js";

const dayMs = 24 * 60 * 60 * 1000;

describe("AuthService", { timeout: 120_000 }, async () => {
	const server = await startServerWithAccounts();
	const ada = server.client(AuthService, server.ada);
	const bob = server.client(AuthService, server.bob);
	const stranger = server.client(AuthService);
	const login = (username: string, password: string) => stranger.login({ requestId: randomUUID(), username, password });
	const createUser = (username: string, more: { admin?: boolean; remote?: boolean; password?: string } = {}) =>
		ada.createUser({ requestId: randomUUID(), username, password: "a password", ...more });

	it("changes a name and a password into a token of a week, and another at each login", async () => {
		const one = await login("bob", passwords.bob);
		const other = await login("bob", passwords.bob);
		assert.notEqual(one.secret, other.secret);
		assert.match(one.secret, /^mlr_[\w-]{43}$/);
		assert.equal(one.user?.username, "bob");
		const { createTime, expireTime, trialId } = one.token ?? {};
		assert.ok(createTime && expireTime);
		assert.ok(Math.abs(timestampMs(expireTime) - timestampMs(createTime) - 7 * dayMs) < 10_000);
		assert.equal(trialId, 0);
		const { user } = await server.client(AuthService, one.secret).getMe({});
		assert.equal(user?.username, "bob");
	});

	it("tells nobody whether it was the name or the password that was wrong", async () => {
		const said = async (username: string, password: string) => {
			const error = await login(username, password).catch((thrown) => thrown);
			return `${error.code}: ${error.message}`;
		};
		const wrong = "unauthenticated: no user has this name and password";
		assert.equal(await said("bob", "wrong password"), wrong);
		assert.equal(await said("nobody", passwords.bob), wrong);
		assert.equal(await said("determined", ""), wrong);
		assert.equal(await said("bob", ""), wrong);
		assert.equal(await said("bob", "x".repeat(60_000)), wrong, "nobody hashes as much");
		assert.match(
			await said("bob", "x".repeat(1_000_000)),
			/^resource_exhausted: the request has 10000\d\d bytes; at most 65536/,
		);
	});

	it("slows the eleventh attempt after ten wrong passwords, of this user only", async () => {
		await createUser("slow");
		for (let i = 0; i < 10; i++) {
			await assert.rejects(login("slow", "wrong password"), errorWith("unauthenticated", /no user has/));
		}
		await assert.rejects(login("slow", "a password"), errorWith("resource_exhausted", /10 wrong .*try again in 1 s/));
		await login("bob", passwords.bob);
		const { user } = await waitUntil("the second to pass", () => login("slow", "a password").catch(() => undefined));
		assert.equal(user?.username, "slow");
	});

	it("creates, gives, lists and changes users", async () => {
		const { user: eve } = await createUser("eve.adams@example", { admin: false });
		const userId = eve?.id ?? 0;
		assert.deepEqual((await bob.getUser({ user: { case: "userId", value: userId } })).user, eve);
		assert.deepEqual((await bob.getUser({ user: { case: "username", value: "eve.adams@example" } })).user, eve);
		await assert.rejects(createUser("bob"), errorWith("already_exists", /user "bob" exists already/));
		for (const username of ["", "two words", "a/b", "a".repeat(65)]) {
			await assert.rejects(createUser(username), errorWith("invalid_argument", /username is/));
		}
		await assert.rejects(
			createUser("x", { password: "1234567" }),
			errorWith("invalid_argument", /password has 7 char/),
		);
		await assert.rejects(
			createUser("x", { remote: true }),
			errorWith("invalid_argument", /a remote user has no password/),
		);
		const { user } = await ada.updateUser({ requestId: randomUUID(), userId, displayName: "Eve", admin: true });
		assert.deepEqual([user?.displayName, user?.admin, user?.active], ["Eve", true, true]);
		await ada.updateUser({ requestId: randomUUID(), userId, active: false });
		const names = async (active?: boolean) => {
			const found: string[] = [];
			for (let pageToken: string | undefined; pageToken !== ""; ) {
				const filter = active === undefined ? {} : { active };
				const page = await bob.listUsers({ ...filter, pageSize: 2, pageToken: pageToken ?? "" });
				found.push(...page.users.map(({ username }) => username));
				pageToken = page.nextPageToken;
			}
			return found;
		};
		assert.deepEqual((await names()).slice(0, 2), ["ada", "bob"]);
		assert.deepEqual(await names(false), ["eve.adams@example"]);
		await assert.rejects(
			login("eve.adams@example", "a password"),
			errorWith("permission_denied", /"eve.adams@example" is not active/),
		);
	});

	it("lets users change themselves, with their old password, and nobody else", async () => {
		const { user } = await createUser("self");
		const userId = user?.id ?? 0;
		const { secret } = await login("self", "a password");
		const other = await login("self", "a password");
		const self = server.client(AuthService, secret);
		const change = (more: object) => self.updateUser({ requestId: randomUUID(), userId, ...more });
		assert.equal((await change({ displayName: "Me" })).user?.displayName, "Me");
		await assert.rejects(
			change({ password: "a new password" }),
			errorWith("permission_denied", /old_password is wrong/),
		);
		await change({ password: "a new password", oldPassword: "a password" });
		await self.getMe({});
		await assert.rejects(
			server.client(AuthService, other.secret).getMe({}),
			errorWith("unauthenticated", /token was revoked/),
		);
		await assert.rejects(login("self", "a password"), errorWith("unauthenticated", /no user has/));
		await login("self", "a new password");
		for (const more of [{ admin: true }, { active: false }, { userId: 2, displayName: "x" }]) {
			await assert.rejects(change(more), errorWith("permission_denied", /only admins change other users/));
		}
		await assert.rejects(
			self.createUser({ requestId: randomUUID(), username: "x", password: "12345678" }),
			errorWith("permission_denied", /only admins make users/),
		);
	});

	it("keeps an active admin with a password", async () => {
		for (const more of [{ admin: false }, { active: false }]) {
			await assert.rejects(
				ada.updateUser({ requestId: randomUUID(), userId: 2, ...more }),
				errorWith("failed_precondition", /without "ada" there would be no active admin/),
			);
		}
		await ada.getMe({});
	});

	it("makes tokens for programs, also of remote users, lists and revokes them", async () => {
		const { user } = await createUser("robot", { remote: true, password: "" });
		const userId = user?.id ?? 0;
		const expireTime = timestampFromMs(Date.now() + dayMs);
		const made = await ada.createToken({ requestId: randomUUID(), userId, description: "nightly", expireTime });
		const robot = server.client(AuthService, made.secret);
		assert.equal((await robot.getMe({})).user?.remote, true);
		await assert.rejects(
			robot.updateUser({ requestId: randomUUID(), userId, password: "a way in for good" }),
			errorWith("permission_denied", /a remote user gets a password from an admin/),
		);
		assert.deepEqual((await robot.listTokens({})).tokens, [made.token]);
		assert.ok((await ada.listTokens({})).tokens.length > 3);
		await assert.rejects(login("robot", ""), errorWith("unauthenticated", /no user has/));
		await assert.rejects(
			bob.createToken({ requestId: randomUUID(), userId }),
			errorWith("permission_denied", /only admins make tokens for others/),
		);
		await assert.rejects(bob.listTokens({ userId }), errorWith("permission_denied", /only admins see the tokens/));
		const tokenId = made.token?.id ?? 0;
		await assert.rejects(bob.revokeToken({ tokenId }), errorWith("not_found", /token \d+ not found/));
		for (const ms of [-1, 400 * dayMs]) {
			const bad = { requestId: randomUUID(), expireTime: timestampFromMs(Date.now() + ms) };
			await assert.rejects(bob.createToken(bad), errorWith("invalid_argument", /expire_time is .* within a year/));
		}
		assert.ok((await ada.revokeToken({ tokenId })).token?.revokeTime);
		await assert.rejects(robot.getMe({}), errorWith("unauthenticated", /token was revoked/));
		assert.deepEqual((await ada.listTokens({ userId })).tokens, []);
	});

	it("keeps a line of every write of a user before it is made, with who, what, when, from where and how it ended", async () => {
		const before = Date.now();
		const models = server.client(ModelService, server.bob);
		await models.createModel({ requestId: randomUUID(), name: "audited", description: "told to nobody" });
		await assert.rejects(models.deleteModel({ requestId: randomUUID(), model: "missing" }));
		await models.getModel({ model: "audited" });
		await assert.rejects(login("bob", "a wrong password"));
		const trialId = await startTrial({ client: (service) => server.client(service, server.bob) });
		const lines = async () => (await ada.listAuditEntries({ username: "bob" })).entries;
		const found = await waitUntil("the outcomes", async () => {
			const entries = await lines();
			return entries.every(({ outcome }) => outcome !== "") ? entries : undefined;
		});
		const [trial, experiment, wrongLogin, deletion, creation] = found;
		assert.deepEqual(
			[trial, experiment, wrongLogin, deletion, creation].map((entry) => [
				entry?.method.replace("millrace.v1.", ""),
				JSON.parse(entry?.subjectJson ?? ""),
				entry?.outcome,
			]),
			[
				["TrialService/CreateTrial", { experiment_id: 1 }, "ok"],
				["ExperimentService/CreateExperiment", {}, "ok"],
				["AuthService/Login", { username: "bob" }, "unauthenticated"],
				["ModelService/DeleteModel", { model: "missing" }, "not_found"],
				["ModelService/CreateModel", { name: "audited" }, "ok"],
			],
		);
		for (const entry of found.slice(0, 5)) {
			assert.ok(entry.time && timestampMs(entry.time) >= before);
			assert.match(entry.peer, /^127\.0\.0\.1:\d+$/);
			assert.equal(entry.tokenId > 0, entry !== wrongLogin);
		}
		await assert.rejects(bob.listAuditEntries({}), errorWith("permission_denied", /is for admins/));

		const trials = server.client(TrialService, server.bob);
		const { trialRun } = await trials.startTrialRun({ requestId: randomUUID(), trialId });
		const run = { trialId, trialRunId: trialRun?.trialRunId ?? 0 };
		const { secret } = await bob.createWorkerToken({ requestId: randomUUID(), ...run });
		const report = { ...run, group: "inference", stepsCompleted: 1, metricsJson: "{}" };
		const call = { clientId: randomUUID(), sequence: 1n, reports: [report] };
		await server.client(MetricService, secret).reportMetrics(call);
		const methods = (await lines()).map(({ method }) => method);
		assert.ok(!methods.some((method) => method.includes("ReportMetrics")), "a worker is no user");
	});

	it("makes no token by a program's one that outlives it, and any by a login", async () => {
		const end = Date.now() + dayMs;
		const until = (ms: number) => ({ requestId: randomUUID(), expireTime: timestampFromMs(ms) });
		const made = await bob.createToken(until(end));
		const program = server.client(AuthService, made.secret);
		await assert.rejects(
			program.createToken(until(end + 1)),
			errorWith(
				"invalid_argument",
				new RegExp(
					`^expire_time is ${new Date(end + 1).toISOString()}, but the token that makes this one ends at ` +
						`${new Date(end).toISOString()}; choose a time up to then, or log in with the password first$`,
				),
			),
		);
		const endOf = ({ token }: { token?: Token | undefined }) => token?.expireTime && timestampMs(token.expireTime);
		assert.equal(endOf(await program.createToken(until(end))), end);
		const child = await program.createToken(until(end - 1));
		assert.equal(
			endOf(await server.client(AuthService, child.secret).createToken({ requestId: randomUUID() })),
			end - 1,
		);
		assert.equal(endOf(await program.createToken({ requestId: randomUUID() })), end);
		const trials = { client: <S extends DescService>(service: S) => server.client(service, server.bob) };
		const trialId = await startTrial(trials);
		assert.equal(endOf(await program.createWorkerToken({ requestId: randomUUID(), trialId })), end);
		const { trialRun } = await trials.client(TrialService).startTrialRun({ requestId: randomUUID(), trialId });
		const run = { trialId, trialRunId: trialRun?.trialRunId ?? 0 };
		assert.equal(endOf(await program.createWorkerToken({ requestId: randomUUID(), ...run })), undefined);
		const year = end + 300 * dayMs;
		assert.equal(endOf(await bob.createToken(until(year))), year);
		assert.ok((endOf(await bob.createWorkerToken({ requestId: randomUUID(), trialId })) ?? 0) > end + 20 * dayMs);
	});
});
