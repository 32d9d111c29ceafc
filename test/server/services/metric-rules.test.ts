import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MetricService } from "../../../src/gen/millrace/v1/metric_service_pb.js";
import { TrialRunState } from "../../../src/gen/millrace/v1/trial_pb.js";
import { TrialService } from "../../../src/gen/millrace/v1/trial_service_pb.js";
import { readTables } from "../../support/read-tables.js";
import { startTestServer, type TestServer } from "../../support/start-test-server.js";
import { openRun, reporter, stored } from "../report-metrics.js";
import { startTrial } from "../start-trial.js";

/** The most steps that the first trial's reports have, as it is remembered. */
async function mostSteps(server: TestServer): Promise<number> {
	const [trial] = (await readTables(server.dataDirectory)).trials as { reported_step: number }[];
	return trial?.reported_step ?? Number.NaN;
}

async function nextRun(server: TestServer, trialId: number): Promise<number> {
	const trials = server.client(TrialService);
	const { trial } = await trials.getTrial({ trialId });
	await trials.endTrialRun({ trialId, trialRunId: trial?.trialRunId ?? 0, state: TrialRunState.FAILED });
	return openRun(server, trialId);
}

async function summaryOf(server: TestServer, trialId: number) {
	const { trial } = await server.client(TrialService).getTrial({ trialId });
	return JSON.parse(trial?.summaryMetricsJson ?? "");
}

describe("the rules of metric reports", { timeout: 120_000 }, () => {
	it("E.1 archives, and remembers the most steps, as Determined does in its own reference", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server, { maxRestarts: 10 });
		const report = reporter(server);
		// Its run ids start at 0, ours at 1.
		const reference: [group: string, run: number, steps: number, most: number, archived: number][] = [
			["training", 1, 10, 10, 0],
			["validation", 1, 10, 10, 0],
			["training", 1, 20, 20, 0],
			["validation", 1, 20, 20, 0],
			["validation", 1, 30, 30, 0],
			["training", 1, 25, 30, 0],
			["validation", 2, 25, 25, 1],
			["validation", 2, 30, 30, 0],
			["training", 2, 30, 30, 0],
			["training", 3, 27, 27, 2],
			["validation", 4, 27, 27, 0],
			["generic-x", 4, 27, 27, 0],
			["generic-x", 4, 29, 29, 0],
			["inference", 4, 28, 29, 0],
			["inference", 5, 28, 28, 2],
		];
		let run = await openRun(server, trialId);
		let count = 0;
		for (const [group, trialRunId, stepsCompleted, most, archived] of reference) {
			if (trialRunId > run) {
				run = await nextRun(server, trialId);
			}
			assert.deepEqual(await report({ trialId, trialRunId, group, stepsCompleted, metricsJson: "{}" }), ["ok"]);
			count += 1 - archived;
			const row = `${group} ${trialRunId} ${stepsCompleted}`;
			assert.equal((await stored(server, trialId)).length, count, row);
			assert.equal(await mostSteps(server), most, row);
		}
	});

	it("E.1 lets what profilers report have no steps: it archives nothing, never merges and is not summarized", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		const report = reporter(server);
		await openRun(server, trialId);
		await report({ trialId, trialRunId: 1, group: "inference", stepsCompleted: 9, metricsJson: '{"a":1}' });
		const trialRunId = await nextRun(server, trialId);
		const sample = { trialId, trialRunId, group: "gpu", stepsCompleted: 1, metricsJson: '{"used":1}' };
		assert.deepEqual(await report(sample, sample), ["ok", "ok"]);
		assert.deepEqual(await stored(server, trialId, "gpu"), [
			'gpu run 2 step undefined {"used":1}',
			'gpu run 2 step undefined {"used":1}',
		]);
		assert.equal((await stored(server, trialId, "inference")).length, 1);
		assert.deepEqual(Object.keys(await summaryOf(server, trialId)), ["inference"]);
	});

	it("F.7 stores reports of several ranks at one step side by side, with their rank", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		const trialRunId = await openRun(server, trialId);
		const base = { trialId, trialRunId, group: "inference", stepsCompleted: 1 };
		const report = reporter(server);
		assert.deepEqual(
			await report(...[0, 1, 2].map((rank) => ({ ...base, rank, metricsJson: `{"loss":${rank}}` })), {
				...base,
				metricsJson: '{"loss":9}',
			}),
			["ok", "ok", "ok", "ok"],
		);
		const ranks: (number | undefined)[] = [];
		for await (const { reports } of server.client(MetricService).streamTrialMetrics({ trialIds: [trialId] })) {
			ranks.push(...reports.map(({ rank }) => rank));
		}
		assert.deepEqual(ranks, [0, 1, 2, undefined]);
		assert.equal((await summaryOf(server, trialId)).inference.loss.count, 4);
	});

	it("F.29 archives by group: a report leaves the same step of other groups alone", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		const report = reporter(server);
		await openRun(server, trialId);
		const at = (trialRunId: number, group: string, stepsCompleted: number) =>
			report({ trialId, trialRunId, group, stepsCompleted, metricsJson: `{"v":${trialRunId}}` });
		for (const group of ["generic-a", "generic-b"]) {
			await at(1, group, 5);
			await at(1, group, 6);
		}
		await nextRun(server, trialId);
		await at(2, "generic-a", 5);
		assert.deepEqual(await stored(server, trialId), [
			'generic-b run 1 step 5 {"v":1}',
			'generic-a run 2 step 5 {"v":2}',
		]);
	});

	it("F.30 counts a value that is reported again once, and takes a merged report as if it had been whole", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		const trialRunId = await openRun(server, trialId);
		const report = reporter(server);
		const base = { trialId, trialRunId, group: "inference" };
		await report({ ...base, stepsCompleted: 1, metricsJson: '{"a":1}' });
		await report({ ...base, stepsCompleted: 2, metricsJson: '{"a":2,"b":5}' });
		await report({ ...base, stepsCompleted: 2, metricsJson: '{"a":2,"c":7}' });
		await report({ ...base, stepsCompleted: 1, metricsJson: '{"c":8,"d":9}' });
		const number = (count: number, sum: number, min: number, max: number, last: number | null) => ({
			...{ type: "number", count, sum, min, max, mean: sum / count, last },
		});
		assert.deepEqual((await summaryOf(server, trialId)).inference, {
			a: number(2, 3, 1, 2, 2),
			b: number(1, 5, 5, 5, 5),
			c: number(2, 15, 7, 8, 7),
			d: number(1, 9, 9, 9, null),
		});
	});

	it("F.33 reads reports without steps, which never merge", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		const trialRunId = await openRun(server, trialId);
		const bare = { trialId, trialRunId, group: "inference", metricsJson: '{"loss":1}' };
		assert.deepEqual(await reporter(server)(bare, bare), ["ok", "ok"]);
		assert.equal((await stored(server, trialId, "inference")).length, 2);
		assert.equal((await summaryOf(server, trialId)).inference.loss.count, 2);
	});

	it("F.34 answers a conflict with already_exists and a run that is over with failed_precondition", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		const trialRunId = await openRun(server, trialId);
		const report = reporter(server);
		const base = { trialId, trialRunId, group: "inference", stepsCompleted: 1 };
		await report({ ...base, metricsJson: '{"loss":1}' });
		assert.match((await report({ ...base, metricsJson: '{"loss":2}' }))[0] ?? "", /^6 .* conflicting key: loss/);
		await nextRun(server, trialId);
		assert.match(
			(await report({ ...base, metricsJson: '{"x":2}' }))[0] ?? "",
			/^9 run 1 of trial 1 is closed as FAILED/,
		);
		assert.deepEqual(server.logged, []);
	});
});
