import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import { isMillraceError } from "../../../src/errors.js";
import { CheckpointService } from "../../../src/gen/millrace/v1/checkpoint_service_pb.js";
import { MetricService } from "../../../src/gen/millrace/v1/metric_service_pb.js";
import { ModelService } from "../../../src/gen/millrace/v1/model_service_pb.js";
import { ProgressService } from "../../../src/gen/millrace/v1/progress_service_pb.js";
import { TrialRunState } from "../../../src/gen/millrace/v1/trial_pb.js";
import { TrialService } from "../../../src/gen/millrace/v1/trial_service_pb.js";
import { startTestServer } from "../../support/start-test-server.js";
import { collect, type NewReport, openRun, reporter, stored } from "../report-metrics.js";
import { joinRun, startTrial } from "../start-trial.js";

describe("MetricService", { timeout: 60_000 }, () => {
	it("stores reports and streams them in the order of run and steps, those without steps first", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		const trialRunId = await openRun(server, trialId);
		const report = reporter(server);
		const base = { trialId, trialRunId, group: "inference" };
		assert.deepEqual(
			await report(
				{ ...base, stepsCompleted: 20, metricsJson: '{"a":"NaN"}', rank: 1 },
				{ ...base, stepsCompleted: 10, metricsJson: '{"a":1}', batchMetricsJson: '[{"x":1}]' },
				{ ...base, metricsJson: "{}" },
			),
			["ok", "ok", "ok"],
		);
		const reports = await collect(server.client(MetricService).streamTrialMetrics({ trialIds: [trialId] }));
		assert.deepEqual(
			reports.map(({ stepsCompleted, rank, metricsJson, batchMetricsJson }) => [
				stepsCompleted,
				rank,
				metricsJson,
				batchMetricsJson,
			]),
			[
				[undefined, undefined, "{}", ""],
				[10, undefined, '{"a":1}', '[{"x":1}]'],
				[20, 1, '{"a":"NaN"}', ""],
			],
		);
	});

	it("answers a repeated call with its first answer, also after the run was closed", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		const trialRunId = await openRun(server, trialId);
		const metrics = server.client(MetricService);
		const call = {
			clientId: "client",
			sequence: 1n,
			reports: [
				{ trialId, trialRunId, group: "g", stepsCompleted: 1, metricsJson: '{"a":1}' },
				{ trialId, trialRunId, group: "g.h", metricsJson: "{}" },
			],
		};
		const [first, twin] = await Promise.all([metrics.reportMetrics(call), metrics.reportMetrics(call)]);
		await server.client(TrialService).killTrial({ trialId });
		const replay = await metrics.reportMetrics(call);
		assert.deepEqual(
			first.statuses.map(({ code }) => code),
			[0, 3],
		);
		assert.deepEqual(twin, first);
		assert.deepEqual(replay, first);
		assert.equal((await stored(server, trialId)).length, 1);
		await metrics.reportMetrics({ ...call, sequence: 2n, reports: [] });
		await assert.rejects(metrics.reportMetrics(call), (error) => isMillraceError(error, "failed_precondition"));
	});

	it("merges reports of one key, and refuses one that would overwrite", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		const trialRunId = await openRun(server, trialId);
		const report = reporter(server);
		const base = { trialId, trialRunId, group: "training", stepsCompleted: 5 };
		const conflict = "6 overwriting existing metric keys is not supported, conflicting key: a (group training, step 5)";
		// Within one call, and against what is stored.
		assert.deepEqual(
			await report(
				{ ...base, metricsJson: '{"a":1,"o":{"x":[1]}}', batchMetricsJson: "[]" },
				{ ...base, metricsJson: '{"b":2,"o":{"x":[1]}}' },
				{ ...base, metricsJson: '{"a":9,"c":3}' },
			),
			["ok", "ok", conflict],
		);
		assert.deepEqual(
			await report(
				{ ...base, metricsJson: '{"d":4,"a":1}' },
				{ ...base, metricsJson: '{"a":2}' },
				{ ...base, metricsJson: "{}", batchMetricsJson: "[]" },
				{ ...base, rank: 0, metricsJson: '{"a":2}' },
			),
			["ok", conflict, "6 overwriting batch metrics is not supported (group training, step 5)", "ok"],
		);
		assert.deepEqual(await stored(server, trialId), [
			'training run 1 step 5 {"a":1,"o":{"x":[1]},"b":2,"d":4}',
			'training run 1 step 5 {"a":2}',
		]);
	});

	it("answers a status for each bad report and stores the others", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		const trialRunId = await openRun(server, trialId);
		const base = { trialId, trialRunId, group: "g", metricsJson: "{}" };
		const member = { trialId, trialRunId, rank: 0, memberUuid: "nobody" };
		const statuses = await reporter(server)(
			{ ...base, trialId: 99 },
			{ ...base, trialRunId: 7 },
			{ ...base, group: "" },
			{ ...base, group: "a.b" },
			{ ...base, metricsJson: "[]" },
			{ ...base, metricsJson: '{"a":NaN}' },
			{ ...base, metricsJson: '{"epoch":"one"}' },
			{ ...base, stepsCompleted: -1 },
			{ ...base, pendingCommit: { member, part: 0, commitNumber: 1 } },
			{ ...base, pendingCommit: { member: { ...member, trialRunId: 2 }, part: 0, commitNumber: 1 } },
			base,
		);
		assert.equal(statuses[0], "5 trial 99 not found");
		assert.equal(statuses[1], `9 trial ${trialId} has no run 7`);
		assert.equal(statuses[2], "3 metric group cannot be empty");
		assert.equal(statuses[3], "3 metric group cannot contain '.'");
		assert.match(statuses[4] ?? "", /^3 metrics_json .*must be an object/);
		assert.match(statuses[5] ?? "", /^3 metrics_json is not JSON/);
		assert.equal(statuses[6], `3 cannot add metric with non numeric 'epoch' value got "one"`);
		assert.match(statuses[7] ?? "", /^3 steps_completed is -1/);
		assert.match(statuses[8] ?? "", /^9 worker nobody is not/);
		assert.match(statuses[9] ?? "", /^3 pending_commit\.member is of run 2/);
		assert.equal(statuses[10], "ok");
		assert.equal((await stored(server, trialId)).length, 1);
	});

	it("refuses by status what cannot be stored, and harms no call that is written with it", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		const trialRunId = await openRun(server, trialId);
		const base = { trialId, trialRunId, group: "g", metricsJson: "{}" };
		const nested = (depth: number) => `{"a":${"[".repeat(depth)}${"]".repeat(depth)}}`;
		const bad: [NewReport, RegExp][] = [
			[{ ...base, reportTime: { seconds: 2n ** 62n, nanos: 0 } }, /^3 report_time is 4611686018427387904 s/],
			[{ ...base, reportTime: { seconds: -62_135_596_801n, nanos: 0 } }, /^3 report_time/],
			[{ ...base, reportTime: { seconds: 1n, nanos: -5 } }, /^3 report_time/],
			[{ ...base, metricsJson: nested(20_000) }, /^3 metrics_json is nested more than 200 deep/],
			[{ ...base, metricsJson: nested(200) }, /^3 metrics_json is nested more than 200 deep/],
			[{ ...base, batchMetricsJson: `[${nested(200)}]` }, /^3 batch_metrics_json is nested/],
			[{ ...base, metricsJson: '{"loss":1e400}' }, /^3 metrics_json\.loss is or holds a number beyond the range/],
		];
		const good = { ...base, metricsJson: nested(199), reportTime: { seconds: 253_402_300_799n, nanos: 999_999_999 } };
		const answers = await Promise.all([
			...bad.map(([report]) => reporter(server)(report)),
			...Array.from({ length: 10 }, () => reporter(server)(good)),
		]);
		bad.forEach(([, message], i) => {
			assert.match(answers[i]?.[0] ?? "", message);
		});
		assert.deepEqual(answers.slice(bad.length).flat(), Array(10).fill("ok"));
		assert.equal((await stored(server, trialId)).length, 10);
		assert.deepEqual(server.logged, []);
	});

	it("archives what a later run reports again: from its steps on in the group, after them in others", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		const trials = server.client(TrialService);
		const report = reporter(server);
		const send = (trialRunId: number, group: string, stepsCompleted: number) =>
			report({ trialId, trialRunId, group, stepsCompleted, metricsJson: `{"v":${trialRunId}}` });
		await openRun(server, trialId);
		for (const steps of [10, 20, 30]) {
			await send(1, "training", steps);
			await send(1, "validation", steps);
		}
		await trials.endTrialRun({ trialId, trialRunId: 1, state: TrialRunState.FAILED });
		await openRun(server, trialId);
		assert.equal((await stored(server, trialId)).length, 6);
		await send(2, "training", 20);
		assert.deepEqual(await stored(server, trialId), [
			'training run 1 step 10 {"v":1}',
			'validation run 1 step 10 {"v":1}',
			'validation run 1 step 20 {"v":1}',
			'training run 2 step 20 {"v":2}',
		]);
		const { trial } = await trials.getTrial({ trialId });
		const summary = JSON.parse(trial?.summaryMetricsJson ?? "");
		assert.deepEqual(summary.training.v, { type: "number", count: 2, sum: 3, min: 1, max: 2, mean: 1.5, last: 2 });
		assert.equal(summary.validation.v.count, 2);
	});

	it("archives the reports that no commit confirmed when their run is closed, and no others", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		const progress = server.client(ProgressService);
		const [first] = await joinRun(server, trialId);
		assert.ok(first);
		const { member } = first;
		await progress.beginProgress({
			member,
			plan: { recordCount: 10n },
			options: { batchSize: 5, checkpointInterval: 1 },
		});
		const report = reporter(server);
		const pending = (commitNumber: number, stepsCompleted: number, metricsJson: string): NewReport => ({
			trialId,
			trialRunId: 1,
			group: "inference",
			stepsCompleted,
			metricsJson,
			pendingCommit: { member, part: 0, commitNumber },
		});
		assert.deepEqual(await report(pending(1, 1, '{"a":1}'), pending(1, 1, '{"b":1}')), ["ok", "ok"]);
		await progress.commit({ member, commitNumber: 1, step: 1, ranges: [{ first: 0n, end: 5n }] });
		const [late, next] = await report(pending(1, 2, "{}"), pending(2, 2, '{"a":2}'));
		assert.match(late ?? "", /^9 .*has made 1 commits/);
		assert.equal(next, "ok");
		assert.equal((await stored(server, trialId)).length, 2);
		await first.leave("lost");
		const [gone] = await report(pending(2, 2, '{"c":1}'));
		assert.match(gone ?? "", /^9 run 1 of trial 1 is closed as FAILED/);
		assert.deepEqual(await stored(server, trialId), ['inference run 1 step 1 {"a":1,"b":1}']);
		const { trial } = await server.client(TrialService).getTrial({ trialId });
		assert.equal(JSON.parse(trial?.summaryMetricsJson ?? "").inference.a.count, 1);
	});

	it("finds metrics by checkpoint and by model version, in pages, from the trials that are linked", async () => {
		const server = await startTestServer();
		const metrics = server.client(MetricService);
		const checkpoints = server.client(CheckpointService);
		const { checkpoint } = await checkpoints.createCheckpoint({});
		const checkpointUuid = checkpoint?.uuid ?? "";
		await checkpoints.completeCheckpoint({
			checkpointUuid,
			files: [{ path: "model.onnx", sizeBytes: 1n, sha256: "0".repeat(64) }],
		});
		await server.client(ModelService).createModel({ name: "cnn" });
		await server.client(ModelService).registerModelVersion({ model: "cnn", checkpointUuid });
		const trials = server.client(TrialService);
		const byCheckpoint = await startTrial(server);
		const byVersion = await startTrial(server);
		const unlinked = await startTrial(server);
		await trials.reportTrialSourceInfo({
			trialId: byCheckpoint,
			source: { case: "checkpointUuid", value: checkpointUuid },
		});
		const linked = await trials.reportTrialSourceInfo({
			trialId: byVersion,
			source: { case: "modelVersion", value: { model: "cnn", version: 1 } },
		});
		assert.equal(linked.checkpointUuid, checkpointUuid);
		for (const trialId of [byCheckpoint, byVersion, unlinked]) {
			await openRun(server, trialId);
			await reporter(server)(
				...Array.from({ length: 1_200 }, (_, i): NewReport => {
					const group = i % 3 === 0 ? "training" : "inference";
					return { trialId, trialRunId: 1, group, stepsCompleted: i, metricsJson: `{"i":${i}}` };
				}),
			);
		}
		const inCheckpoint = await collect(metrics.streamCheckpointMetrics({ checkpointUuid, group: "inference" }));
		assert.deepEqual(
			inCheckpoint.map((report) => [report.trialId, report.stepsCompleted]),
			[byCheckpoint, byVersion].flatMap((trialId) =>
				Array.from({ length: 1_200 }, (_, i) => [trialId, i]).filter(([, i]) => (i ?? 0) % 3 !== 0),
			),
		);
		const inVersion = await collect(metrics.streamModelVersionMetrics({ model: "cnn", version: 1 }));
		assert.deepEqual(new Set(inVersion.map((report) => report.trialId)), new Set([byVersion]));
		assert.equal(inVersion.length, 1_200);
		await assert.rejects(collect(metrics.streamTrialMetrics({ trialIds: [] })), (error) =>
			isMillraceError(error, "invalid_argument"),
		);
		await assert.rejects(collect(metrics.streamTrialMetrics({ trialIds: [99] })), /trial 99 not found/);
		await assert.rejects(
			collect(metrics.streamModelVersionMetrics({ model: "cnn", version: 2 })),
			/version 2 for model "cnn" not found/,
		);
		await assert.rejects(
			collect(metrics.streamCheckpointMetrics({ checkpointUuid: randomUUID() })),
			/checkpoint '.*' not found/,
		);
		assert.deepEqual(server.logged, []);
	});

	it("cuts messages of large reports, also for those who follow", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		const trialRunId = await openRun(server, trialId);
		const report = reporter(server);
		const kibibytes = [1, 100, 100, 1, 300, 1, 1, ...Array.from({ length: 600 }, () => 1)];
		const reportOf = (kibibyte: number, step: number): NewReport => ({
			...{ trialId, trialRunId, group: "g", stepsCompleted: step },
			metricsJson: JSON.stringify({ text: "x".repeat(kibibyte * 1024) }),
		});
		await report(...kibibytes.map(reportOf));
		await server.client(TrialService).endTrialRun({ trialId, trialRunId, state: TrialRunState.COMPLETED });
		for (const follow of [false, true]) {
			const stream = server.client(MetricService).streamTrialMetrics({ trialIds: [trialId], follow });
			const counts: number[] = [];
			const steps: number[] = [];
			for await (const { reports } of stream) {
				counts.push(reports.length);
				steps.push(...reports.map(({ stepsCompleted }) => stepsCompleted ?? -1));
			}
			assert.deepEqual(steps, [...kibibytes.keys()]);
			assert.deepEqual(counts.slice(0, 2), [4, 1]);
			assert.ok(Math.max(...counts) <= 256, String(counts));
		}
		const metrics = server.client(MetricService);
		for await (const { resumeToken } of metrics.streamTrialMetrics({ trialIds: [trialId] })) {
			const rest = await collect(metrics.streamTrialMetrics({ trialIds: [trialId], resumeToken }));
			assert.equal(rest.length, kibibytes.length - 4);
			break;
		}
	});

	it("takes reports of many clients at once and loses none", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		const trialRunId = await openRun(server, trialId);
		await Promise.all(
			Array.from({ length: 20 }, async (_, rank) => {
				const report = reporter(server);
				for (let stepsCompleted = 1; stepsCompleted <= 10; stepsCompleted++) {
					const metricsJson = `{"v":${rank}}`;
					assert.deepEqual(await report({ trialId, trialRunId, group: "g", rank, stepsCompleted, metricsJson }), [
						"ok",
					]);
				}
			}),
		);
		assert.equal((await stored(server, trialId)).length, 200);
		const { trial } = await server.client(TrialService).getTrial({ trialId });
		const { v } = JSON.parse(trial?.summaryMetricsJson ?? "").g;
		assert.deepEqual([v.count, v.sum, v.min, v.max], [200, 1_900, 0, 19]);
	});
});
