import assert from "node:assert/strict";
import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { ErrorPolicy } from "../../src/gen/millrace/v1/progress_pb.js";
import { TrialRunState } from "../../src/gen/millrace/v1/trial_pb.js";
import { joinAlone } from "../support/join-alone.js";
import { seedTrial } from "../support/seed-trial.js";
import { runMillrace } from "../support/start-command.js";
import { tempDir } from "../support/temp-dir.js";
import { type TestClient, useTestClient } from "../support/use-test-client.js";

describe("Trial", { timeout: 60_000 }, () => {
	const test = useTestClient();

	it("is created, read and listed", async () => {
		const experiment = await test.client.createExperiment({ name: "e", entrypoint: "true" });
		const created = await test.client.createTrial(experiment.id, { hparams: { lr: 0.5, user_key: [1] } });
		const trial = await test.client.getTrial(created.id);
		const { creationTime, ...fields } = trial;
		assert.ok(creationTime.getTime() > Date.now() - 60_000);
		assert.deepEqual(fields, {
			id: created.id,
			experimentId: experiment.id,
			hparams: { lr: 0.5, user_key: [1] },
			state: "ACTIVE",
			summaryMetrics: {},
			progress: 0,
			status: "",
			metadata: {},
			restarts: 0,
			maxRestarts: 5,
			trialRunId: 0,
			endTime: null,
		});
		assert.equal((await test.client.listTrials())[0]?.id, created.id);
		assert.equal((await test.client.getTrial(created.id).getExperiment()).name, "e");
	});

	it("gives back every one of 2,500 reports, in the order of their steps", async () => {
		const { trial, report } = await seedTrial(test.connection);
		await report(
			"inference",
			Array.from({ length: 2_500 }, (_, index) => ({ index })),
		);
		const metrics = await test.client.getTrial(trial.id).getMetrics<{ index: number }>("inference");
		assert.deepEqual(
			metrics.map((m) => [m.stepsCompleted, m.metrics.index]),
			Array.from({ length: 2_500 }, (_, index) => [index + 1, index]),
		);
		let count = 0;
		for await (const _ of trial.iterMetrics("inference")) {
			count++;
		}
		assert.equal(count, 2_500);
	});

	it("stops reading when the reader does", async () => {
		const { trial, report } = await seedTrial(test.connection);
		await report(
			"inference",
			Array.from({ length: 1_500 }, (_, index) => ({ index })),
		);
		for await (const { metrics } of trial.getMetrics("inference")) {
			assert.deepEqual(metrics, { index: 0 });
			break;
		}
	});

	it("gives metrics with all their parts, and numbers that JSON lacks", async () => {
		const { trial, report } = await seedTrial(test.connection);
		const metrics = { loss: Number.NaN, range: [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY], "user key": {} };
		await report("validation", [metrics]);
		const [only, ...others] = await trial.getMetrics();
		assert.deepEqual(others, []);
		assert.ok(only !== undefined && Math.abs(only.endTime.getTime() - Date.now()) < 30_000);
		const { endTime: _, ...rest } = only;
		assert.deepEqual(rest, { trialId: trial.id, trialRunId: 1, stepsCompleted: 1, metrics, group: "validation" });
	});

	it("sums its metrics up", async () => {
		const { trial, report } = await seedTrial(test.connection);
		await report("inference", [{ loss: 1 }, { loss: 3 }]);
		await trial.reload();
		const { loss } = trial.summaryMetrics.inference as { loss: Record<string, unknown> };
		assert.deepEqual(
			{ min: loss.min, max: loss.max, sum: loss.sum, count: loss.count, last: loss.last },
			{ min: 1, max: 3, sum: 4, count: 2, last: 3 },
		);
		assert.equal(trial.trialRunId, 1);
	});

	it("rejects a report for itself, and no other in the batch", async () => {
		const { trial, report } = await seedTrial(test.connection);
		await assert.rejects(report("a.b", [{ x: 1 }]), { code: "invalid_argument" });
		const settled = await Promise.allSettled([report("bad.group", [{ x: 1 }]), report("good", [{ x: 1 }, { x: 2 }])]);
		assert.deepEqual(
			settled.map(({ status }) => status),
			["rejected", "fulfilled"],
		);
		assert.equal((await trial.getMetrics()).length, 2);
	});

	it("lists and downloads what its workers committed, and no more", async () => {
		const experiment = await test.client.createExperiment({ name: "outputs", entrypoint: "true" });
		const trial = await test.client.createTrial(experiment.id);
		const { part, root } = await commitOutputs(test, trial.id, { "a.csv": "1,2\n", "sub/b.csv": "" });
		appendFileSync(join(root, part, "a.csv"), "not committed\n");
		writeFileSync(join(root, part, "uncommitted.csv"), "x");
		const outputs = await test.client.getTrial(trial.id).listOutputs();
		assert.deepEqual(outputs, [
			{ path: `${part}/a.csv`, rank: 0, sizeBytes: 4 },
			{ path: `${part}/sub/b.csv`, rank: 0, sizeBytes: 0 },
		]);
		const target = tempDir();
		const paths = await trial.downloadOutputs(target);
		assert.deepEqual(
			paths,
			outputs.map(({ path }) => join(target, path)),
		);
		assert.equal(readFileSync(paths[0] as string, "utf8"), "1,2\n");
		assert.equal(readFileSync(paths[1] as string, "utf8"), "");
		await trial.reload();
		assert.equal(trial.progress, 0.5);

		writeFileSync(join(root, part, "a.csv"), "9,2\n");
		await assert.rejects(trial.downloadOutputs(tempDir()), { code: "data_loss", message: /a\.csv is corrupted/ });
	});

	it("has no outputs before the first commit", async () => {
		const { trial } = await seedTrial(test.connection);
		assert.deepEqual(await trial.listOutputs(), []);
		assert.deepEqual(await trial.downloadOutputs(tempDir()), []);
	});

	it("lists the records that failed, and lets the next run try them again", async () => {
		const experiment = await test.client.createExperiment({ name: "errors", entrypoint: "true" });
		const trial = await test.client.createTrial(experiment.id);
		assert.deepEqual(await trial.listErrors(), []);
		assert.equal(await trial.retryErrors(), 0);
		const { member, leave } = await joinAlone(test.connection, trial.id, { onError: ErrorPolicy.SKIP });
		const failures = [3, 1].map((i) => ({ record: BigInt(i), error: `bad\n ${i}`, stack: `at ${i}` }));
		await test.connection.progress.commit({ member, commitNumber: 1, step: 1, failures });
		await assert.rejects(trial.retryErrors(), { code: "failed_precondition", message: /run 1 .* is open/ });
		await leave();
		const errors = await test.client.getTrial(trial.id).listErrors();
		assert.deepEqual(
			errors.map(({ time, ...rest }) => [rest, time instanceof Date && time.getTime() > 0]),
			[1, 3].map((i) => [{ record: i, rank: 0, trialRunId: 1, error: `bad\n ${i}`, stack: `at ${i}` }, true]),
		);
		await trial.reload();
		assert.equal(trial.progress, 0.2);
		const command = await runMillrace(["trial", "errors", String(trial.id), "--server", test.address]);
		assert.deepEqual(
			[command.code, command.stdout],
			[0, "record 1  rank 0  run 1  bad 1\nrecord 3  rank 0  run 1  bad 3\n"],
		);
		assert.equal(await trial.retryErrors(), 2);
		assert.deepEqual([trial.state, trial.progress, await trial.listErrors()], ["ACTIVE", 0, []]);
		const none = await runMillrace(["trial", "errors", String(trial.id), "--server", test.address]);
		assert.deepEqual([none.code, none.stdout, none.stderr], [0, "", "millrace: no errors\n"]);
	});

	it("is paused, activated and killed", async () => {
		const experiment = await test.client.createExperiment({ name: "e", entrypoint: "true" });
		const trial = await test.client.createTrial(experiment.id);
		await trial.pause();
		assert.equal(trial.state, "PAUSED");
		await trial.activate();
		assert.equal(trial.state, "ACTIVE");
		await test.client.getTrial(trial.id).kill();
		await trial.reload();
		assert.equal(trial.state, "CANCELED");
		await assert.rejects(trial.activate(), { code: "failed_precondition" });
	});

	it("has progress 1 when it is completed", async () => {
		const { trial } = await seedTrial(test.connection);
		await test.connection.trials.endTrialRun({ trialId: trial.id, trialRunId: 1, state: TrialRunState.COMPLETED });
		await trial.reload();
		assert.deepEqual([trial.state, trial.progress], ["COMPLETED", 1]);
	});

	it("throws not_found for an unknown id from either form, and invalid_argument for what is no id", async () => {
		const notFound = { name: "MillraceError", code: "not_found", message: /999/ };
		await assert.rejects(async () => await test.client.getTrial(999), notFound);
		await assert.rejects(async () => await test.client.getTrial(999).getMetrics("inference"), notFound);
		await assert.rejects(test.client.getTrial(999).downloadOutputs(tempDir()), notFound);
		await assert.rejects(async () => await test.client.getTrial(999).getExperiment().listTrials(), notFound);
		await assert.rejects(test.client.createTrial(999), notFound);
		for (const id of [0, 1.5, Number.NaN]) {
			await assert.rejects(async () => await test.client.getTrial(id), {
				code: "invalid_argument",
				message: `the trial id is ${id}; it must be a whole number from 1`,
			});
		}
		await assert.rejects(async () => await test.client.getTrial("2" as unknown as number), {
			message: /is "2"; it must/,
		});
	});

	it("throws invalid_argument for what the wire cannot carry, and for a metric group that is no text", async () => {
		await assert.rejects(test.client.createTrial(1, { maxRestarts: 1.5 }), {
			code: "invalid_argument",
			message: /maxRestarts is 1\.5/,
		});
		const group = ["inference"] as unknown as string;
		await assert.rejects(async () => await test.client.getTrial(1).getMetrics(group), {
			code: "invalid_argument",
			message: 'the metric group is an array; it must be a text, such as "inference"',
		});
	});
});

describe("Experiment", { timeout: 60_000 }, () => {
	const test = useTestClient();

	it("is created from a configuration, read and listed, with its trials", async () => {
		const { client } = test;
		const config = {
			name: "digits",
			description: "all of them",
			labels: ["a"],
			entrypoint: "true",
			hyperparameters: { user_key: 1 },
		};
		const created = await client.createExperiment(config);
		const experiment = await client.getExperiment(created.id);
		assert.deepEqual({ ...experiment }, { ...created });
		assert.deepEqual(
			[experiment.name, experiment.description, experiment.labels, experiment.state, experiment.progress],
			["digits", "all of them", ["a"], "ACTIVE", 0],
		);
		assert.deepEqual(experiment.config.hyperparameters, { user_key: 1 });
		const trial = await client.createTrial(experiment.id);
		const other = await client.createExperiment({ ...config, name: "other" });
		await client.createTrial(other.id);
		assert.deepEqual(
			(await client.getExperiment(experiment.id).listTrials()).map(({ id }) => id),
			[trial.id],
		);
		assert.deepEqual(
			(await client.listExperiments()).map(({ name }) => name),
			["other", "digits"],
		);
		await client.getTrial(trial.id).kill();
		await experiment.reload();
		assert.equal(experiment.state, "CANCELED");
	});

	it("pauses and activates those of its trials that have not ended", async () => {
		const { client } = test;
		const experiment = await client.createExperiment({ name: "pausable", entrypoint: "true" });
		const [killed, trial] = [await client.createTrial(experiment.id), await client.createTrial(experiment.id)];
		await killed.kill();
		await experiment.pause();
		await trial.reload();
		assert.deepEqual([experiment.state, trial.state], ["PAUSED", "PAUSED"]);
		await client.getExperiment(experiment.id).activate();
		await trial.reload();
		await killed.reload();
		assert.deepEqual([trial.state, killed.state], ["ACTIVE", "CANCELED"]);
		await assert.rejects(async () => await client.getExperiment(99).pause(), { code: "not_found" });
	});

	it("throws for an unknown id, and for a configuration that breaks a rule", async () => {
		const { client } = test;
		const countBefore = (await client.listExperiments()).length;
		await assert.rejects(async () => await client.getExperiment(7), { code: "not_found", message: /7/ });
		await assert.rejects(async () => await client.getExperiment(7).listTrials(), { code: "not_found" });
		await assert.rejects(client.createExperiment({ name: "e", entrypont: "x" }), {
			code: "invalid_argument",
			message: /entrypont/,
		});
		assert.equal((await client.listExperiments()).length, countBefore);
	});
});

/** Joins a run of the trial, and commits half of the records with these files. */
async function commitOutputs(test: TestClient, trialId: number, files: Readonly<Record<string, string>>) {
	const { member, writeOutputs, leave } = await joinAlone(test.connection, trialId);
	const { part, root, outputs } = await writeOutputs(files);
	const ranges = [{ first: 0n, end: 5n }];
	await test.connection.progress.commit({ member, commitNumber: 1, step: 1, ranges, outputs });
	await leave();
	return { part, root };
}
