import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import { MetricService } from "../../../src/gen/millrace/v1/metric_service_pb.js";
import { ModelService } from "../../../src/gen/millrace/v1/model_service_pb.js";
import { TrialSourceInfoType } from "../../../src/gen/millrace/v1/trial_pb.js";
import { TrialService } from "../../../src/gen/millrace/v1/trial_service_pb.js";
import { errorWith } from "../../support/error-with.js";
import { startTestServer, type TestServer } from "../../support/start-test-server.js";
import { storeCheckpoint } from "../../support/store-checkpoint.js";
import { startTrial } from "../start-trial.js";

/** Starts a trial with one report, of one metric `loss`. */
async function trialWithReport(server: TestServer, loss: number): Promise<number> {
	const trialId = await startTrial(server);
	const { trialRun } = await server.client(TrialService).startTrialRun({ trialId, ownerUuid: randomUUID() });
	const report = { trialId, trialRunId: trialRun?.trialRunId ?? 0, group: "inference", stepsCompleted: 1 };
	const reports = [{ ...report, metricsJson: JSON.stringify({ loss }) }];
	await server.client(MetricService).reportMetrics({ clientId: randomUUID(), sequence: 1n, reports });
	return trialId;
}

async function register(server: TestServer, checkpointUuid: string): Promise<{ model: string; version: number }> {
	const { modelVersion } = await server.client(ModelService).registerModelVersion({ model: "cnn", checkpointUuid });
	return { model: "cnn", version: modelVersion?.version ?? 0 };
}

/** The metrics that a stream has, as JSON. */
async function metricsOf(stream: AsyncIterable<{ reports: readonly { metricsJson: string }[] }>): Promise<string[]> {
	const found: string[] = [];
	for await (const { reports } of stream) {
		found.push(...reports.map(({ metricsJson }) => metricsJson));
	}
	return found;
}

describe("linkTrialSource", { timeout: 60_000 }, () => {
	it("lets one trial use two versions of one checkpoint, each with its metrics (F.23)", async () => {
		const server = await startTestServer();
		await server.client(ModelService).createModel({ name: "cnn" });
		const checkpointUuid = await storeCheckpoint(server);
		const versions = [await register(server, checkpointUuid), await register(server, checkpointUuid)];
		const unused = await register(server, checkpointUuid);
		const trialId = await trialWithReport(server, 1);
		for (const value of versions) {
			await server.client(TrialService).reportTrialSourceInfo({ trialId, source: { case: "modelVersion", value } });
		}
		const metrics = server.client(MetricService);
		for (const version of versions) {
			assert.deepEqual(await metricsOf(metrics.streamModelVersionMetrics(version)), ['{"loss":1}']);
		}
		assert.deepEqual(await metricsOf(metrics.streamModelVersionMetrics(unused)), []);
		assert.deepEqual(await metricsOf(metrics.streamCheckpointMetrics({ checkpointUuid })), ['{"loss":1}']);
	});

	it("keeps the link to the checkpoint when the version, or the model, is deleted (F.24)", async () => {
		const server = await startTestServer();
		const models = server.client(ModelService);
		await models.createModel({ name: "cnn" });
		const checkpointUuid = await storeCheckpoint(server);
		const metrics = server.client(MetricService);
		for (const loss of [1, 2]) {
			const value = await register(server, checkpointUuid);
			const trialId = await trialWithReport(server, loss);
			await server.client(TrialService).reportTrialSourceInfo({ trialId, source: { case: "modelVersion", value } });
		}
		const both = ['{"loss":1}', '{"loss":2}'];
		assert.deepEqual(await metricsOf(metrics.streamCheckpointMetrics({ checkpointUuid })), both);
		await models.deleteModelVersion({ model: "cnn", version: 1 });
		assert.deepEqual(await metricsOf(metrics.streamCheckpointMetrics({ checkpointUuid })), both);
		await assert.rejects(
			metricsOf(metrics.streamModelVersionMetrics({ model: "cnn", version: 1 })),
			errorWith("not_found", /version 1 for model "cnn" not found/),
		);
		await models.deleteModel({ model: "cnn" });
		assert.deepEqual(await metricsOf(metrics.streamCheckpointMetrics({ checkpointUuid })), both);
	});

	it("requires a trial, a checkpoint and a version that exist, and a known type (F.26)", async () => {
		const server = await startTestServer();
		const models = server.client(ModelService);
		await models.createModel({ name: "cnn" });
		const trials = server.client(TrialService);
		const checkpointUuid = await storeCheckpoint(server);
		const trialId = await startTrial(server);
		const byUuid = (value: string) => ({ case: "checkpointUuid", value }) as const;
		const byVersion = (model: string, version: number) =>
			({ case: "modelVersion", value: { model, version } }) as const;
		const missing = randomUUID();
		const refusals = [
			["not_found", new RegExp(`checkpoint '${missing}' not found`), { trialId, source: byUuid(missing) }],
			["not_found", /trial 99 not found/, { trialId: 99, source: byUuid(checkpointUuid) }],
			["not_found", /version 1 for model "cnn" not found/, { trialId, source: byVersion("cnn", 1) }],
			["not_found", /model "rnn" not found/, { trialId, source: byVersion("rnn", 1) }],
			["invalid_argument", /checkpoint_uuid is "x"/, { trialId, source: byUuid("x") }],
			["invalid_argument", /type is 9/, { trialId, type: 9 as TrialSourceInfoType, source: byUuid(checkpointUuid) }],
			["invalid_argument", /source is missing/, { trialId }],
		] as const;
		for (const [code, message, request] of refusals) {
			await assert.rejects(trials.reportTrialSourceInfo(request), errorWith(code, message));
		}
		const request = { trialId, type: TrialSourceInfoType.FINE_TUNING, source: byUuid(checkpointUuid.toUpperCase()) };
		assert.equal((await trials.reportTrialSourceInfo(request)).checkpointUuid, checkpointUuid);
	});
});
