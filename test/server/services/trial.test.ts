import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import { isMillraceError } from "../../../src/errors.js";
import { ExperimentState } from "../../../src/gen/millrace/v1/experiment_pb.js";
import { ExperimentService } from "../../../src/gen/millrace/v1/experiment_service_pb.js";
import { ProgressService } from "../../../src/gen/millrace/v1/progress_service_pb.js";
import { RendezvousService } from "../../../src/gen/millrace/v1/rendezvous_service_pb.js";
import { TrialRunDecision, TrialRunState, TrialState } from "../../../src/gen/millrace/v1/trial_pb.js";
import { TrialService } from "../../../src/gen/millrace/v1/trial_service_pb.js";
import { startTestServer } from "../../support/start-test-server.js";
import { joinRun, startTrial } from "../start-trial.js";

const rejectsWith = (code: Parameters<typeof isMillraceError>[1], message: RegExp) => (error: Error) => {
	assert.match(error.message, message);
	assert.ok(isMillraceError(error, code), `${error}`);
	return true;
};

describe("ExperimentService", { timeout: 60_000 }, () => {
	it("fills in the defaults, and gives a repeated request its first answer", async () => {
		const server = await startTestServer();
		const experiments = server.client(ExperimentService);
		const request = {
			requestId: randomUUID(),
			config: { name: "mnist", labels: ["a", "a", "b"], hyperparameters: { camelCase: 1, snake_case: null } },
		};
		const first = await experiments.createExperiment(request);
		const [again, twin] = await Promise.all([
			experiments.createExperiment(request),
			experiments.createExperiment(request),
		]);
		assert.deepEqual(again, first);
		assert.deepEqual(twin, first);
		assert.equal(first.experiment?.state, ExperimentState.ACTIVE);
		assert.deepEqual(first.experiment?.labels, ["a", "b"]);
		assert.equal(first.experiment?.config?.max_restarts, 5);
		assert.deepEqual(first.experiment?.config?.hyperparameters, { camelCase: 1, snake_case: null });
		assert.equal((await experiments.listExperiments({})).experiments.length, 1);
		await assert.rejects(
			server.client(TrialService).createTrial({ requestId: request.requestId, experimentId: 1 }),
			rejectsWith("invalid_argument", /was used for another method/),
		);
	});

	it("refuses a configuration that breaks a rule, and an unknown id", async () => {
		const experiments = (await startTestServer()).client(ExperimentService);
		await assert.rejects(
			experiments.createExperiment({ config: { naem: "x" } }),
			rejectsWith("invalid_argument", /unknown key naem.*did you mean name/),
		);
		await assert.rejects(experiments.createExperiment({}), rejectsWith("invalid_argument", /config is missing/));
		await assert.rejects(
			experiments.getExperiment({ experimentId: 7 }),
			rejectsWith("not_found", /experiment 7 not found/),
		);
	});

	it("derives state, progress and end from the trials", async () => {
		const server = await startTestServer();
		const experiments = server.client(ExperimentService);
		const trials = server.client(TrialService);
		const trialId = await startTrial(server);
		await trials.createTrial({ experimentId: 1 });
		await trials.startTrialRun({ trialId });
		await trials.endTrialRun({ trialId, trialRunId: 1, state: TrialRunState.COMPLETED });
		const half = (await experiments.getExperiment({ experimentId: 1 })).experiment;
		assert.deepEqual([half?.state, half?.progress, half?.endTime], [ExperimentState.ACTIVE, 0.5, undefined]);
		await trials.killTrial({ trialId: 2 });
		const ended = (await experiments.getExperiment({ experimentId: 1 })).experiment;
		assert.equal(ended?.state, ExperimentState.CANCELED);
		assert.ok(ended?.endTime);
	});

	it("keeps outputs and checkpoints where the configuration says", async () => {
		const server = await startTestServer();
		const checkpoint_storage = { type: "shared_fs", host_path: "/mnt/all", storage_path: "millrace" };
		await server.client(ExperimentService).createExperiment({ config: { name: "x", checkpoint_storage } });
		const { trial } = await server.client(TrialService).createTrial({ experimentId: 1 });
		assert.deepEqual(trial?.storage?.backend.value, {
			$typeName: "millrace.v1.SharedFsStorage",
			hostPath: "/mnt/all",
			storagePath: "millrace",
		});
	});
});

describe("TrialService", { timeout: 60_000 }, () => {
	it("pages through trials, the newest first, and refuses a foreign token", async () => {
		const server = await startTestServer();
		const trials = server.client(TrialService);
		await startTrial(server);
		for (let i = 0; i < 4; i++) {
			await trials.createTrial({ experimentId: 1 });
		}
		const ids: number[] = [];
		let pageToken = "";
		do {
			const page = await trials.listTrials({ pageSize: 2, pageToken });
			ids.push(...page.trials.map((trial) => trial.id));
			pageToken = page.nextPageToken;
			if (pageToken !== "") {
				await assert.rejects(
					trials.listTrials({ pageToken, experimentId: 1 }),
					rejectsWith("invalid_argument", /page_token .* is not one of this list/),
				);
			}
		} while (pageToken !== "");
		assert.deepEqual(ids, [5, 4, 3, 2, 1]);
		await assert.rejects(trials.listTrials({ pageSize: -1 }), rejectsWith("invalid_argument", /page_size is -1/));
		await assert.rejects(trials.listTrials({ pageToken: "x" }), rejectsWith("invalid_argument", /page_token/));
	});

	it("starts one run at a time, and repeats the first answer", async () => {
		const server = await startTestServer();
		const trials = server.client(TrialService);
		const trialId = await startTrial(server);
		const request = { requestId: randomUUID(), trialId, worldSize: 2 };
		const first = await trials.startTrialRun(request);
		assert.equal(first.trialRun?.state, TrialRunState.FORMING);
		assert.deepEqual(await trials.startTrialRun(request), first);
		await trials.killTrial({ trialId });
		assert.deepEqual(await trials.startTrialRun(request), first);
		await assert.rejects(trials.startTrialRun({ trialId }), rejectsWith("failed_precondition", /canceled/));
		await assert.rejects(
			trials.getTrialRun({ trialId, trialRunId: 2 }),
			rejectsWith("not_found", /trial 1 has no run 2/),
		);
		await assert.rejects(
			trials.getTrialRun({ trialId: 9, trialRunId: 2 }),
			rejectsWith("not_found", /trial 9 not found/),
		);
	});

	it("decides RESTART while restarts are left, then FAILED", async () => {
		const server = await startTestServer();
		const trials = server.client(TrialService);
		const trialId = await startTrial(server, { maxRestarts: 1 });
		for (const decision of [TrialRunDecision.RESTART, TrialRunDecision.FAILED]) {
			const [worker] = await joinRun(server, trialId);
			const end = {
				trialId,
				trialRunId: worker?.member.trialRunId ?? 0,
				state: TrialRunState.FAILED,
				reason: "exit code 1",
			};
			const ended = await trials.endTrialRun(end);
			assert.equal(ended.decision, decision);
			assert.equal(ended.trialRun?.reason, "exit code 1");
			assert.deepEqual(await trials.endTrialRun({ ...end, state: TrialRunState.KILLED }), ended);
		}
	});

	it("decides FAILED where no worker ever joined, and DONE for a run without members", async () => {
		const server = await startTestServer();
		const trials = server.client(TrialService);
		const lonely = await startTrial(server);
		await trials.startTrialRun({ trialId: lonely, worldSize: 2 });
		await assert.rejects(
			trials.endTrialRun({ trialId: lonely, trialRunId: 1, state: TrialRunState.COMPLETED }),
			rejectsWith("failed_precondition", /has workers/),
		);
		await assert.rejects(
			trials.endTrialRun({ trialId: lonely, trialRunId: 1, state: TrialRunState.PREEMPTED }),
			rejectsWith("invalid_argument", /state is PREEMPTED/),
		);
		const failed = await trials.endTrialRun({ trialId: lonely, trialRunId: 1, state: TrialRunState.FAILED });
		assert.deepEqual([failed.decision, failed.trial?.state], [TrialRunDecision.FAILED, TrialState.ERROR]);
		const plain = await startTrial(server);
		await trials.startTrialRun({ trialId: plain });
		const done = await trials.endTrialRun({ trialId: plain, trialRunId: 1, state: TrialRunState.COMPLETED });
		assert.deepEqual([done.decision, done.trial?.state], [TrialRunDecision.DONE, TrialState.COMPLETED]);
	});

	it("decides by the state of the trial, which another run, a pause or a kill may have changed", async () => {
		const server = await startTestServer();
		const trials = server.client(TrialService);
		const failed = { state: TrialRunState.FAILED, reason: "exit code 1" };
		const endOf = async (trialId: number) => {
			const { decision, trial } = await trials.endTrialRun({ ...failed, trialId, trialRunId: 1 });
			return [decision, trial?.state];
		};
		const open = async () => {
			const trialId = await startTrial(server);
			await joinRun(server, trialId);
			return trialId;
		};
		const completed = await open();
		assert.deepEqual(await endOf(completed), [TrialRunDecision.RESTART, TrialState.ACTIVE]);
		await trials.startTrialRun({ trialId: completed });
		await trials.endTrialRun({ trialId: completed, trialRunId: 2, state: TrialRunState.COMPLETED });
		assert.deepEqual(await endOf(completed), [TrialRunDecision.DONE, TrialState.COMPLETED]);

		const asked = await open();
		await trials.pauseTrial({ trialId: asked });
		assert.deepEqual(await endOf(asked), [TrialRunDecision.PREEMPTED, TrialState.PAUSED]);

		const killed = await open();
		await endOf(killed);
		await trials.killTrial({ trialId: killed });
		assert.deepEqual(await endOf(killed), [TrialRunDecision.KILLED, TrialState.CANCELED]);
	});

	it("completes a run without members only where no record of a plan is left", async () => {
		const server = await startTestServer();
		const trials = server.client(TrialService);
		const progress = server.client(ProgressService);
		const trialId = await startTrial(server);
		const [worker] = await joinRun(server, trialId);
		assert.ok(worker);
		const { member } = worker;
		const options = { batchSize: 5, checkpointInterval: 1 };
		await progress.beginProgress({ member, plan: { recordCount: 10n }, options });
		await progress.commit({ member, commitNumber: 1, step: 1, ranges: [{ first: 0n, end: 5n }] });
		await worker.leave("lost");
		await trials.startTrialRun({ trialId });
		await assert.rejects(
			trials.endTrialRun({ trialId, trialRunId: 2, state: TrialRunState.COMPLETED }),
			rejectsWith("failed_precondition", /5 of 10 records of trial 1 are left/),
		);
		await trials.endTrialRun({ trialId, trialRunId: 2, state: TrialRunState.FAILED });
		const [last] = await joinRun(server, trialId);
		assert.ok(last);
		await progress.beginProgress({ member: last.member, plan: { recordCount: 10n }, options });
		await progress.commit({ member: last.member, commitNumber: 1, step: 2, ranges: [{ first: 5n, end: 10n }] });
		await last.leave("lost");
		await trials.startTrialRun({ trialId });
		const end = { trialId, trialRunId: 4, state: TrialRunState.COMPLETED };
		assert.equal((await trials.endTrialRun(end)).decision, TrialRunDecision.DONE);
	});

	it("tells the workers of a run that was killed", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		const call = server.client(RendezvousService).attend();
		const join = { trialId, memberUuid: randomUUID(), worldSize: 1, localWorldSize: 1 };
		call.send({ message: { case: "join", value: join } });
		let ended: TrialRunState | undefined;
		for await (const { message } of call) {
			if (message.case === "started") {
				const { trial } = await server.client(TrialService).killTrial({ trialId });
				assert.equal(trial?.state, TrialState.CANCELED);
			} else if (message.case === "ended") {
				ended = message.value.state;
			}
		}
		assert.equal(ended, TrialRunState.KILLED);
	});

	it("pauses at once without a run, and activates again", async () => {
		const server = await startTestServer();
		const trials = server.client(TrialService);
		const trialId = await startTrial(server);
		assert.equal((await trials.pauseTrial({ trialId })).trial?.state, TrialState.PAUSED);
		await assert.rejects(trials.startTrialRun({ trialId }), rejectsWith("failed_precondition", /paused; activate/));
		assert.equal((await trials.activateTrial({ trialId })).trial?.state, TrialState.ACTIVE);
		await trials.startTrialRun({ trialId });
		const asked = (await trials.pauseTrial({ trialId })).trial;
		assert.deepEqual([asked?.state, asked?.pauseRequested], [TrialState.ACTIVE, true]);
		assert.equal((await trials.activateTrial({ trialId })).trial?.pauseRequested, false);
		await trials.killTrial({ trialId });
		assert.equal((await trials.pauseTrial({ trialId })).trial?.state, TrialState.CANCELED);
		await assert.rejects(
			trials.activateTrial({ trialId }),
			rejectsWith(
				"failed_precondition",
				/illegal transition CANCELED -> ACTIVE for trial 1: it has ended, which is final/,
			),
		);
	});

	it("refuses links to what does not exist", async () => {
		const server = await startTestServer();
		const trials = server.client(TrialService);
		const trialId = await startTrial(server);
		const link = (source: Parameters<typeof trials.reportTrialSourceInfo>[0]["source"], id = trialId) =>
			trials.reportTrialSourceInfo({ trialId: id, ...(source && { source }) });
		const missing = randomUUID();
		await assert.rejects(
			link({ case: "checkpointUuid", value: missing }),
			rejectsWith("not_found", /checkpoint '.*' not found/),
		);
		await assert.rejects(
			link({ case: "checkpointUuid", value: "x" }),
			rejectsWith("invalid_argument", /checkpoint_uuid is "x"/),
		);
		await assert.rejects(
			link({ case: "modelVersion", value: { model: "none", version: 1 } }),
			rejectsWith("not_found", /model "none" not found/),
		);
		await assert.rejects(link(undefined), rejectsWith("invalid_argument", /source is missing/));
		await assert.rejects(
			link({ case: "checkpointUuid", value: missing }, 9),
			rejectsWith("not_found", /trial 9 not found/),
		);
	});
});
