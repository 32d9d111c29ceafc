import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, describe, it } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { Metadata } from "@grpc/grpc-js";
import { AuthService } from "../../../src/gen/millrace/v1/auth_service_pb.js";
import { CheckpointService } from "../../../src/gen/millrace/v1/checkpoint_service_pb.js";
import { ExperimentService } from "../../../src/gen/millrace/v1/experiment_service_pb.js";
import { LogService } from "../../../src/gen/millrace/v1/log_service_pb.js";
import { MetricService } from "../../../src/gen/millrace/v1/metric_service_pb.js";
import { ModelService } from "../../../src/gen/millrace/v1/model_service_pb.js";
import { ProgressService } from "../../../src/gen/millrace/v1/progress_service_pb.js";
import { AttendRequestSchema, RendezvousService } from "../../../src/gen/millrace/v1/rendezvous_service_pb.js";
import { ServerService } from "../../../src/gen/millrace/v1/server_service_pb.js";
import { TrialRunState } from "../../../src/gen/millrace/v1/trial_pb.js";
import { TrialService } from "../../../src/gen/millrace/v1/trial_service_pb.js";
import { Channel } from "../../../src/rpc/channel.js";
import { accessTo } from "../../../src/server/auth/access.js";
import { allMethods, fullName } from "../../support/bad-input/all-methods.js";
import { rawCall } from "../../support/bad-input/raw-call.js";
import { errorWith } from "../../support/error-with.js";
import { startServerWithAccounts } from "../../support/start-server-with-accounts.js";
import { startTestServer } from "../../support/start-test-server.js";
import { passwords } from "../../support/test-passwords.js";
import { waitUntil } from "../../support/wait-until.js";

/** The methods that everyone may call. */
const open = ["AuthService.Login", "ServerService.GetServerInfo"];

function metadataWith(authorization: string): Metadata {
	const metadata = new Metadata();
	metadata.set("authorization", authorization);
	return metadata;
}

describe("AccountGate", { timeout: 120_000 }, async () => {
	const server = await startServerWithAccounts();
	const channel = new Channel(server.address, { connectMs: 5_000, retryMs: 5_000 });
	after(() => channel.close());

	async function startRun(token: string) {
		const trials = server.client(TrialService, token);
		const { experiment } = await server
			.client(ExperimentService, token)
			.createExperiment({ requestId: randomUUID(), config: { name: "gate", entrypoint: "true" } });
		const { trial } = await trials.createTrial({ requestId: randomUUID(), experimentId: experiment?.id ?? 0 });
		const trialId = trial?.id ?? 0;
		const { trialRun } = await trials.startTrialRun({ requestId: randomUUID(), trialId });
		return { trialId, trialRunId: trialRun?.trialRunId ?? 0 };
	}

	async function workerToken(run: { trialId: number; trialRunId: number }): Promise<string> {
		const auth = server.client(AuthService, server.bob);
		return (await auth.createWorkerToken({ requestId: randomUUID(), ...run })).secret;
	}

	for (const [what, metadata] of [
		["without a token", new Metadata()],
		["with a token of another server", metadataWith("Bearer mlr_unknown")],
		["with a header that is none", metadataWith("Basic YWRhOmFkYQ==")],
	] as const) {
		it(`answers UNAUTHENTICATED ${what}, by every method but those that everyone may call`, async () => {
			const methods = await allMethods();
			assert.ok(methods.length > 60, `${methods.length} methods`);
			const answers = await Promise.all(
				methods.map(async (method) => {
					const message = toBinary(method.input, create(method.input));
					const { code } = await rawCall(channel.grpc, method, [message], 2_000, metadata);
					return [fullName(method), code] as const;
				}),
			);
			const others = answers.filter(([name]) => !open.includes(name));
			assert.deepEqual(
				others.filter(([, code]) => code !== "UNAUTHENTICATED"),
				[],
			);
			assert.deepEqual(
				answers.filter(([name]) => open.includes(name)),
				[
					["AuthService.Login", "INVALID_ARGUMENT"],
					["ServerService.GetServerInfo", "OK"],
				],
			);
		});
	}

	it("has a rule for every method, and only methods that read are open to all callers by their kind", async () => {
		for (const method of await allMethods()) {
			const access = accessTo(method);
			if (access === "all") {
				assert.equal(method.idempotency, 1, `${fullName(method)} writes, and is open to every worker`);
			}
		}
	});

	it("refuses bytes of strangers before it reads them", async () => {
		const { code } = await rawCall(channel.grpc, TrialService.method.getTrial, [Buffer.from([0xff])]);
		assert.equal(code, "UNAUTHENTICATED");
	});

	it("lets a worker write to its own trial, and to no other", async () => {
		const own = await startRun(server.bob);
		const other = await startRun(server.bob);
		const token = await workerToken(own);
		const metrics = server.client(MetricService, token);
		const report = (run: typeof own) => ({ ...run, group: "inference", stepsCompleted: 1, metricsJson: '{"a":1}' });
		await metrics.reportMetrics({ clientId: randomUUID(), sequence: 1n, reports: [report(own)] });
		const denied = errorWith("permission_denied", /which may not write to trial \d+; use a user's token/);
		await assert.rejects(
			metrics.reportMetrics({ clientId: randomUUID(), sequence: 1n, reports: [report(own), report(other)] }),
			denied,
		);
		const { checkpoint } = await server
			.client(CheckpointService, server.bob)
			.createCheckpoint({ requestId: randomUUID(), ...other, files: [] });
		const checkpointUuid = checkpoint?.uuid ?? "";
		const member = { trialId: other.trialId, trialRunId: other.trialRunId, rank: 0, memberUuid: randomUUID() };
		const trials = server.client(TrialService, token);
		const checkpoints = server.client(CheckpointService, token);
		const progress = server.client(ProgressService, token);
		const requestId = randomUUID();
		for (const call of [
			() => server.client(LogService, token).writeLogs({ clientId: "a", sequence: 1n, trialId: other.trialId }),
			() => trials.reportTrialProgress({ ...other, progress: 0.5 }),
			() => trials.setTrialStatus({ ...other, status: "x" }),
			() => trials.updateTrialMetadata({ requestId, trialId: other.trialId, metadata: {} }),
			() => trials.reportTrialSourceInfo({ trialId: other.trialId, source: { case: "checkpointUuid", value: "" } }),
			() => trials.preemptTrialRun(other),
			() => progress.beginProgress({ member }),
			() => progress.commit({ member }),
			() => progress.startPart({ member }),
			() => checkpoints.createCheckpoint({ requestId, ...other }),
			() => checkpoints.completeCheckpoint({ checkpointUuid }),
			() => checkpoints.writeCheckpointFile({ checkpointUuid }),
			() => checkpoints.updateCheckpointMetadata({ requestId, checkpointUuid, metadata: {} }),
			() => checkpoints.removeCheckpointFiles({ requestId, checkpointUuids: [checkpointUuid], globs: ["**"] }),
		]) {
			await assert.rejects(call(), denied, call.toString());
		}
		const join = create(AttendRequestSchema, { message: { case: "join", value: { trialId: other.trialId } } });
		const attend = await rawCall(
			channel.grpc,
			RendezvousService.method.attend,
			[toBinary(AttendRequestSchema, join)],
			2_000,
			metadataWith(`Bearer ${token}`),
		);
		assert.equal(attend.code, "PERMISSION_DENIED");
		assert.equal(
			(await trials.getTrial({ trialId: other.trialId })).trial?.id,
			other.trialId,
			"it reads what it likes",
		);
	});

	it("lets a worker call nothing that is for users", async () => {
		const run = await startRun(server.bob);
		const metadata = metadataWith(`Bearer ${await workerToken(run)}`);
		const methods = (await allMethods()).filter((method) => {
			const access = accessTo(method);
			return access === "users" || access === "admins" || (typeof access === "object" && "owner" in access);
		});
		assert.ok(methods.length > 25, `${methods.length} methods`);
		for (const method of methods) {
			const message = toBinary(method.input, create(method.input));
			const { code } = await rawCall(channel.grpc, method, [message], 2_000, metadata);
			assert.equal(code, "PERMISSION_DENIED", fullName(method));
		}
	});

	it("lets only admins, and who made it, delete a model or an experiment", async () => {
		const requestId = () => randomUUID();
		await server.client(ModelService, server.ada).createModel({ requestId: requestId(), name: "of ada" });
		await server.client(ModelService, server.bob).createModel({ requestId: requestId(), name: "of bob" });
		const remove = (token: string, model: string) =>
			server.client(ModelService, token).deleteModel({ requestId: requestId(), model });
		await assert.rejects(remove(server.bob, "of ada"), errorWith("permission_denied", /"ada", who made it/));
		await remove(server.bob, "of bob");
		await remove(server.ada, "of ada");
		await assert.rejects(remove(server.bob, "of ada"), errorWith("not_found", /of ada/));
		const { trialId } = await startRun(server.ada);
		const { trial } = await server.client(TrialService, server.ada).getTrial({ trialId });
		const experimentId = trial?.experimentId ?? 0;
		await assert.rejects(
			server.client(ExperimentService, server.bob).deleteExperiment({ requestId: requestId(), experimentId }),
			errorWith("permission_denied", /"ada", who made it/),
		);
	});

	it("ends open streams at once with a token that is revoked, and with a user who is no longer active", async () => {
		const auth = server.client(AuthService, server.ada);
		for (const end of ["revoke", "deactivate", "password", "logout"] as const) {
			const username = `eve-${end}`;
			const password = passwords.eve;
			const { user } = await auth.createUser({ requestId: randomUUID(), username, password });
			const userId = user?.id ?? 0;
			const { secret, token } = await server.client(AuthService).login({ requestId: randomUUID(), username, password });
			const { trialId } = await startRun(server.ada);
			const trials = server.client(TrialService, secret);
			let failure: unknown;
			let isOpen = false;
			const following = (async () => {
				for await (const _ of server.client(LogService, secret).streamTrialLogs({ trialId, follow: true })) {
					isOpen = true;
				}
			})().catch((error) => {
				failure = error;
			});
			await waitUntil("the stream", () => isOpen);
			await trials.getTrial({ trialId });
			switch (end) {
				case "revoke":
					await auth.revokeToken({ tokenId: token?.id ?? 0 });
					break;
				case "deactivate":
					await auth.updateUser({ userId, active: false });
					break;
				case "password":
					await auth.updateUser({ userId, password: "another password" });
					break;
				case "logout":
					await server.client(AuthService, secret).logout({});
			}
			await assert.rejects(trials.getTrial({ trialId }), errorWith("unauthenticated", /log in again/), end);
			await following;
			assert.match(String(failure), /token was revoked; log in again/, end);
		}
	});

	it("lets nobody send as another sender, by whose client id reports and lines of that one would be lost", async () => {
		const own = await startRun(server.bob);
		const other = await startRun(server.bob);
		const [worker, thief] = [await workerToken(own), await workerToken(other)];
		for (const stranger of [thief, server.ada]) {
			const clientId = randomUUID();
			const report = { ...own, group: clientId, metricsJson: "{}" };
			const send = (token: string, sequence: bigint, reports = [report]) =>
				server.client(MetricService, token).reportMetrics({ clientId, sequence, reports });
			const print = (token: string, sequence: bigint, { trialId } = own) =>
				server.client(LogService, token).writeLogs({ clientId, sequence, trialId, entries: [{ source: clientId }] });
			await send(stranger, 1n, []);
			await print(stranger, 1n, other);
			for (const sequence of [1n, 2n]) {
				for (const _ of ["the call", "its repetition"]) {
					assert.deepEqual(
						(await send(worker, sequence)).statuses.map(({ code }) => code),
						[0],
					);
					await print(worker, sequence);
				}
				await send(stranger, 1_000n * sequence, []);
				await print(stranger, 1_000n * sequence, other);
			}
			let [reports, lines] = [0, 0];
			const bob = server.client(MetricService, server.bob);
			for await (const batch of bob.streamTrialMetrics({ trialIds: [own.trialId], group: clientId })) {
				reports += batch.reports.length;
			}
			const logs = server.client(LogService, server.bob);
			for await (const batch of logs.streamTrialLogs({ trialId: own.trialId, sources: [clientId] })) {
				lines += batch.entries.length;
			}
			assert.deepEqual({ reports, lines }, { reports: 2, lines: 2 });
		}
	});

	it("ends a worker's token an hour after its run, and keeps it until then", async () => {
		const run = await startRun(server.bob);
		const token = await workerToken(run);
		await server.client(TrialService, server.bob).endTrialRun({ ...run, state: TrialRunState.FAILED, reason: "x" });
		const logs = server.client(LogService, token);
		await logs.writeLogs({ clientId: randomUUID(), sequence: 1n, trialId: run.trialId, last: true });
		await assert.rejects(workerToken(run), errorWith("failed_precondition", /is closed as FAILED/));
	});

	it("says nothing of the data directory to strangers from other hosts, and all to those of its own", async () => {
		const info = await server.client(ServerService).getServerInfo({});
		assert.equal(info.hasAccounts, true);
		assert.equal(info.dataDirectory, server.dataDirectory);
	});

	it("lets everyone in as determined while there are no accounts, and ends their streams with the first", async () => {
		const bare = await startTestServer();
		const trials = bare.client(TrialService, "mlr_left_from_another_server");
		const auth = bare.client(AuthService);
		assert.equal((await auth.getMe({})).user?.username, "determined");
		const { experiment } = await bare
			.client(ExperimentService)
			.createExperiment({ requestId: randomUUID(), config: { name: "bare", entrypoint: "true" } });
		assert.equal(experiment?.username, "determined");
		const { trial } = await trials.createTrial({ requestId: randomUUID(), experimentId: experiment?.id ?? 0 });
		let isOpen = false;
		const following = (async () => {
			for await (const _ of bare.client(LogService).streamTrialLogs({ trialId: trial?.id ?? 0, follow: true })) {
				isOpen = true;
			}
		})();
		await waitUntil("the stream", () => isOpen);
		const early = await auth.login({ requestId: randomUUID(), username: "determined", password: "" });
		const requestId = randomUUID();
		const first = { requestId, username: "root", admin: true, password: "the first password" };
		await assert.rejects(
			auth.createUser({ ...first, requestId: randomUUID(), admin: false }),
			errorWith("failed_precondition", /make an admin with a password first/),
		);
		const { user } = await auth.createUser(first);
		await assert.rejects(following, errorWith("unauthenticated", /has accounts from now on/));
		assert.deepEqual((await auth.createUser(first)).user, user, "the answer may have been lost");
		await assert.rejects(
			bare.client(AuthService, early.secret).getMe({}),
			errorWith("unauthenticated", /token was revoked/),
			"a login from before is none",
		);
		await assert.rejects(
			auth.createUser({ ...first, requestId: randomUUID(), username: "other" }),
			errorWith("unauthenticated", /log in as an admin/),
		);
		await assert.rejects(
			auth.login({ requestId, username: "determined", password: "" }),
			errorWith("unauthenticated", /no user has this name and password/),
		);
	});
});
