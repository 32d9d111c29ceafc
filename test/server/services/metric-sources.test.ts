import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { isMillraceError } from "../../../src/errors.js";
import { CheckpointService } from "../../../src/gen/millrace/v1/checkpoint_service_pb.js";
import { MetricService, type SummarizeMetricsRequestSchema } from "../../../src/gen/millrace/v1/metric_service_pb.js";
import { ModelService } from "../../../src/gen/millrace/v1/model_service_pb.js";
import { TrialRunState, TrialState } from "../../../src/gen/millrace/v1/trial_pb.js";
import { TrialService } from "../../../src/gen/millrace/v1/trial_service_pb.js";
import { readTables } from "../../support/read-tables.js";
import { startTestServer, type TestServer } from "../../support/start-test-server.js";
import { collect, openRun, reporter } from "../report-metrics.js";
import { startTrial } from "../start-trial.js";

async function storeCheckpoint(server: TestServer): Promise<string> {
	const checkpoints = server.client(CheckpointService);
	const { checkpoint } = await checkpoints.createCheckpoint({});
	const checkpointUuid = checkpoint?.uuid ?? "";
	const files = [{ path: "model.onnx", sizeBytes: 1n, sha256: "0".repeat(64) }];
	await checkpoints.completeCheckpoint({ checkpointUuid, files });
	return checkpointUuid;
}

/** Two checkpoints, of which the first is version 1 of the model cnn. */
async function startRegistry(server: TestServer): Promise<{ a: string; b: string }> {
	const [a, b] = [await storeCheckpoint(server), await storeCheckpoint(server)];
	await server.client(ModelService).createModel({ name: "cnn" });
	await server.client(ModelService).registerModelVersion({ model: "cnn", checkpointUuid: a });
	return { a, b };
}

const aboutCheckpoint = (value: string) => ({ case: "checkpointUuid", value }) as const;
const version = { model: "cnn", version: 1 };
const aboutVersion = { case: "modelVersion", value: version } as const;

describe("a report that names what it is about", { timeout: 120_000 }, () => {
	it("counts for that alone, stands beside others at its step, and links its trial", async () => {
		const server = await startTestServer();
		const { a, b } = await startRegistry(server);
		const trialId = await startTrial(server);
		const trialRunId = await openRun(server, trialId);
		const base = { trialId, trialRunId, group: "inference", stepsCompleted: 1 };
		assert.deepEqual(
			await reporter(server)(
				{ ...base, metricsJson: '{"v":"none"}' },
				{ ...base, metricsJson: '{"v":"a"}', source: aboutCheckpoint(a.toUpperCase()) },
				{ ...base, metricsJson: '{"v":"b"}', source: aboutCheckpoint(b) },
				{ ...base, metricsJson: '{"v":"version"}', source: aboutVersion },
			),
			["ok", "ok", "ok", "ok"],
		);
		const metrics = server.client(MetricService);
		const values = async (stream: Parameters<typeof collect>[0]) =>
			(await collect(stream)).map(({ metricsJson }) => JSON.parse(metricsJson).v);
		assert.deepEqual(await values(metrics.streamCheckpointMetrics({ checkpointUuid: a })), ["none", "a", "version"]);
		assert.deepEqual(await values(metrics.streamCheckpointMetrics({ checkpointUuid: b })), ["none", "b"]);
		assert.deepEqual(await values(metrics.streamModelVersionMetrics(version)), ["none", "version"]);
		const reports = await collect(metrics.streamTrialMetrics({ trialIds: [trialId] }));
		assert.deepEqual(
			reports.map(({ checkpointUuid, modelId, modelVersion }) => [checkpointUuid, modelId, modelVersion]),
			[
				["", 0, 0],
				[a, 0, 0],
				[b, 0, 0],
				[a, 1, 1],
			],
		);
		const links = (await readTables(server.dataDirectory)).trial_sources as Record<string, unknown>[];
		assert.deepEqual(
			links.map(({ checkpoint_id, model_id, version, type }) => [checkpoint_id, model_id, version, type].join()),
			["1,0,0,INFERENCE", "1,1,1,INFERENCE", "2,0,0,INFERENCE"],
		);
	});

	it("merges only with one that names the same", async () => {
		const server = await startTestServer();
		const { a } = await startRegistry(server);
		const trialId = await startTrial(server);
		const trialRunId = await openRun(server, trialId);
		const report = reporter(server);
		const base = { trialId, trialRunId, group: "inference", stepsCompleted: 1, source: aboutCheckpoint(a) };
		await report({ ...base, metricsJson: '{"v":1}' });
		assert.deepEqual(await report({ ...base, metricsJson: '{"w":2}' }), ["ok"]);
		assert.match((await report({ ...base, metricsJson: '{"v":2}' }))[0] ?? "", /^6 /);
		assert.deepEqual(await report({ ...base, source: aboutVersion, metricsJson: '{"v":2}' }), ["ok"]);
	});

	it("is refused by its status alone where that does not exist, and links nothing", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		const trialRunId = await openRun(server, trialId);
		const base = { trialId, trialRunId, group: "inference", metricsJson: "{}" };
		const absent = randomUUID();
		const statuses = await reporter(server)(
			{ ...base, source: aboutCheckpoint(absent) },
			{ ...base, source: aboutVersion },
			{ ...base, source: aboutCheckpoint("x") },
			{ ...base, source: { case: "modelVersion", value: { model: "", version: 1 } } },
			{ ...base, source: { case: "modelVersion", value: { model: "cnn", version: 0 } } },
			base,
		);
		assert.equal(statuses[0], `5 checkpoint '${absent}' not found`);
		assert.match(statuses[1] ?? "", /^5 model "cnn" not found/);
		assert.match(statuses[2] ?? "", /^3 checkpoint_uuid is "x"/);
		assert.match(statuses[3] ?? "", /^3 model_version\.model is empty/);
		assert.match(statuses[4] ?? "", /^3 model_version\.version is 0/);
		assert.equal(statuses[5], "ok");
		assert.deepEqual((await readTables(server.dataDirectory)).trial_sources, []);
	});
});

type Subject = NonNullable<MessageInitShape<typeof SummarizeMetricsRequestSchema>["subject"]>;

describe("SummarizeMetrics", { timeout: 120_000 }, () => {
	it("gives over all linked trials, and for each, what their reports give", async () => {
		const server = await startTestServer();
		const { a, b } = await startRegistry(server);
		const trials = server.client(TrialService);
		const ids: number[] = [];
		for (const [index, source] of [aboutCheckpoint(a), aboutVersion, aboutCheckpoint(b)].entries()) {
			const trialId = await startTrial(server);
			ids.push(trialId);
			await trials.reportTrialSourceInfo({ trialId, source: source });
			const trialRunId = await openRun(server, trialId);
			const base = { trialId, trialRunId, group: "inference" };
			const time = (seconds: number) => ({ seconds: BigInt(seconds), nanos: 0 });
			await reporter(server)(
				{
					...base,
					stepsCompleted: 1,
					metricsJson: `{"x":${index + 1},"__proto__":true}`,
					reportTime: time(90 - index),
				},
				{ ...base, stepsCompleted: 2, metricsJson: `{"x":0.5,"only${index}":"text"}`, reportTime: time(10) },
				{ ...base, group: "validation", stepsCompleted: 2, metricsJson: '{"x":100}' },
			);
		}
		const metrics = server.client(MetricService);
		const summarize = async (subject: Subject, states?: TrialState[]) => {
			const answer = await metrics.summarizeMetrics({ subject, group: "inference", ...(states && { states }) });
			const plain = (list: typeof answer.metrics) =>
				list.map(({ name, type, count, min, max, sum, mean, lastJson }) =>
					[name, type, count, min, max, sum, mean, lastJson].join(),
				);
			return {
				all: plain(answer.metrics),
				trials: answer.trials.map((trial) => [trial.trialId, plain(trial.metrics)]),
			};
		};
		const first = ["__proto__,boolean,1,,,,,true", "only0,string,1,,,,,null", "x,number,2,0.5,1,1.5,0.75,1"];
		const second = ["__proto__,boolean,1,,,,,true", "only1,string,1,,,,,null", "x,number,2,0.5,2,2.5,1.25,2"];
		const both = [
			"__proto__,boolean,2,,,,,true",
			"only0,string,1,,,,,null",
			"only1,string,1,,,,,null",
			"x,number,4,0.5,2,4,1,1",
		];
		const ofCheckpoint = aboutCheckpoint(a);
		const expected = {
			all: both,
			trials: [
				[ids[0], first],
				[ids[1], second],
			],
		};
		assert.deepEqual(await summarize(ofCheckpoint), expected);
		assert.deepEqual(await summarize(aboutVersion), { all: second, trials: [[ids[1], second]] });
		assert.deepEqual(await summarize({ case: "trialId", value: ids[0] ?? 0 }), {
			all: first,
			trials: [[ids[0], first]],
		});

		// From a report that names another source on, the stored summary is of too much, and rows are read.
		const base = { trialId: ids[0] ?? 0, trialRunId: 1, group: "inference", stepsCompleted: 3 };
		await reporter(server)({ ...base, metricsJson: '{"x":1000}', source: aboutCheckpoint(b) });
		assert.deepEqual(await summarize(ofCheckpoint), expected);
		assert.match((await summarize({ case: "trialId", value: ids[0] ?? 0 })).all.at(-1) ?? "", /^x,number,3,0\.5,1000,/);

		await trials.endTrialRun({ trialId: ids[1] ?? 0, trialRunId: 1, state: TrialRunState.COMPLETED });
		assert.deepEqual(await summarize(ofCheckpoint, [TrialState.COMPLETED]), {
			all: second,
			trials: [[ids[1], second]],
		});
		assert.deepEqual(await summarize(ofCheckpoint, [TrialState.COMPLETED, TrialState.ACTIVE]), expected);
		assert.deepEqual(await summarize(ofCheckpoint, [TrialState.ERROR]), { all: [], trials: [] });
	});

	it("summarizes what profilers report, though it is no part of a trial's summary", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		const trialRunId = await openRun(server, trialId);
		await reporter(server)({ trialId, trialRunId, group: "gpu", metricsJson: '{"used":3}' });
		const subject = { case: "trialId", value: trialId } as const;
		const { metrics } = await server.client(MetricService).summarizeMetrics({ subject, group: "gpu" });
		assert.deepEqual([metrics[0]?.name, metrics[0]?.sum], ["used", 3]);
	});

	it("says what is missing or not there", async () => {
		const server = await startTestServer();
		const metrics = server.client(MetricService);
		const trial = { case: "trialId", value: 9 } as const;
		const rejects = (request: Parameters<typeof metrics.summarizeMetrics>[0], code: string, text: RegExp) =>
			assert.rejects(metrics.summarizeMetrics(request), (error) => {
				assert.ok(isMillraceError(error));
				assert.equal(error.code, code);
				assert.match(error.message, text);
				return true;
			});
		await rejects({ group: "g" }, "invalid_argument", /^subject is missing/);
		await rejects({ subject: trial }, "invalid_argument", /^metric group cannot be empty/);
		await rejects({ subject: trial, group: "g", states: [77 as TrialState] }, "invalid_argument", /^states has 77/);
		await rejects({ subject: trial, group: "g" }, "not_found", /^trial 9 not found/);
		await rejects({ subject: aboutVersion, group: "g" }, "not_found", /^model "cnn" not found/);
	});
});
