import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { CheckpointService } from "../../src/gen/millrace/v1/checkpoint_service_pb.js";
import { ExperimentService } from "../../src/gen/millrace/v1/experiment_service_pb.js";
import { MetricService } from "../../src/gen/millrace/v1/metric_service_pb.js";
import { ModelService } from "../../src/gen/millrace/v1/model_service_pb.js";
import { TrialService } from "../../src/gen/millrace/v1/trial_service_pb.js";
import { openConnection } from "../../src/sdk/connection.js";
import { Client, type TrialMetrics } from "../../src/sdk/index.js";
import { fromJsonText } from "../../src/sdk/json.js";
import { startAnswerDropper } from "../support/answer-dropper.js";
import {
	buildClientExample,
	type ClientExample,
	type ClientLanguage,
	missingLanguage,
} from "../support/client-example.js";
import { startCutProxy } from "../support/cut-proxy.js";
import type { CommandEnd } from "../support/start-command.js";
import { startServerWithAccounts } from "../support/start-server-with-accounts.js";
import { startTestServer } from "../support/start-test-server.js";
import { tempDir } from "../support/temp-dir.js";

const services = [CheckpointService, ExperimentService, MetricService, ModelService, TrialService];

/** What the clients report: 1,000 reports in a few calls, and five while they follow. */
const expected = Array.from({ length: 1_005 }, (_, index) => index + 1).map((step) => ({
	step,
	metrics: {
		loss: 1 / step,
		extreme: [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0, Number.MIN_VALUE, Number.MAX_VALUE],
		größe: { 名前: `step ${step} 🧮`, "is even": step % 2 === 0, nothing: null, deep: [[step], {}] },
	},
}));

/** What every client of `examples/clients` has to do. */
export function clientSuite(language: ClientLanguage): void {
	describe(`examples/clients/${language}`, { skip: missingLanguage(language), timeout: 900_000 }, () => {
		let example: ClientExample;
		before(async () => {
			example = await buildClientExample(language);
		});

		it("reads what the TypeScript SDK reads, let in by MILLRACE_TOKEN", async () => {
			const server = await startServerWithAccounts();
			const { code, stdout, stderr } = await example.start(server.address).ended;
			assert.notEqual(code, 0);
			assert.equal(stdout, "");
			assert.match(stderr, /unauthenticated/i);
			const client = example.start(server.address, { MILLRACE_TOKEN: server.bob });
			await assertReads(await client.ended, server.address, server.bob);
		});

		it("repeats each write whose answer was lost, and goes on where a stream or the connection broke", async () => {
			const server = await startTestServer();
			const between = await startAnswerDropper(server, services, async () => undefined);
			const wire = await startCutProxy(between.address);
			const client = example.start(wire.address);
			await client.writes('"source"');
			wire.cut("reset");
			wire.resume();
			await assertReads(await client.ended, server.address);
			assert.deepEqual([...new Set(between.dropped.map(({ method }) => method.name))].sort(), [
				"CompleteCheckpoint",
				"CreateCheckpoint",
				"CreateExperiment",
				"CreateModel",
				"CreateTrial",
				"EndTrialRun",
				"RegisterModelVersion",
				"ReportMetrics",
				"ReportTrialSourceInfo",
				"StartTrialRun",
				"WriteCheckpointFile",
			]);
			assert.deepEqual([...between.broken].sort(), [
				"StreamCheckpointMetrics",
				"StreamModelVersionMetrics",
				"StreamTrialMetrics",
			]);
		});
	});
}

/** Compares what a client printed with what the SDK reads, and both with what was reported. */
async function assertReads({ code, stdout, stderr }: CommandEnd, address: string, token?: string): Promise<void> {
	assert.equal(code, 0, stderr);
	const lines = stdout
		.trimEnd()
		.split("\n")
		.map((line) => fromJsonText(line) as Record<string, unknown>);
	assert.deepEqual(lines.pop(), { missing: "trial", code: "NOT_FOUND" });
	const read = (source: string) =>
		lines.filter((line) => line.source === source).map(({ source, ...report }) => report);

	const connection = openConnection(address, { security: { token } });
	const client = new Client({ connection });
	try {
		const [trial, another] = await client.listTrials();
		const [model] = await client.listModels();
		assert.ok(trial !== undefined && another === undefined && model !== undefined);
		assert.equal(trial.state, "COMPLETED");
		const [version] = await model.listVersions();
		assert.ok(version?.checkpoint !== undefined);
		const ofTrial = (await trial.getMetrics("inference")).map(shownReport);
		assert.deepEqual(
			ofTrial.map(({ stepsCompleted, metrics }) => ({ step: stepsCompleted, metrics })),
			expected,
		);
		assert.deepEqual(read("trial"), ofTrial);
		assert.deepEqual(read("checkpoint"), (await version.checkpoint.getMetrics("inference")).map(shownReport));
		assert.deepEqual(read("model version"), (await version.getMetrics("inference")).map(shownReport));
		assert.deepEqual(read("checkpoint"), ofTrial);
		assert.deepEqual(read("model version"), ofTrial);
		assert.equal(lines.length, 3 * expected.length);
		const directory = await version.checkpoint.download(join(tempDir(), "checkpoint"));
		assert.equal(readFileSync(join(directory, "model.bin"), "utf8"), "not much of a model");
	} finally {
		await client.close();
		connection.close();
	}
}

/** A report as the clients print it. */
function shownReport({ trialId, trialRunId, group, stepsCompleted, endTime, metrics }: TrialMetrics) {
	return { trialId, trialRunId, group, stepsCompleted, endTime: endTime.getTime(), metrics };
}
