import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { TrialRunState } from "../../src/gen/millrace/v1/trial_pb.js";
import { errorWith } from "../support/error-with.js";
import { seedTrial } from "../support/seed-trial.js";
import { useTestClient } from "../support/use-test-client.js";

describe("the metrics of trials", { timeout: 120_000 }, () => {
	const test = useTestClient();

	async function storeCheckpoint(): Promise<string> {
		const { checkpoints } = test.connection;
		const { checkpoint } = await checkpoints.createCheckpoint({});
		const checkpointUuid = checkpoint?.uuid ?? "";
		const files = [{ path: "model.onnx", sizeBytes: 1n, sha256: "0".repeat(64) }];
		await checkpoints.completeCheckpoint({ checkpointUuid, files });
		return checkpointUuid;
	}

	async function seedLinked(checkpointUuid: string) {
		const seeded = await seedTrial(test.connection);
		const source = { case: "checkpointUuid", value: checkpointUuid } as const;
		await test.connection.trials.reportTrialSourceInfo({ trialId: seeded.trial.id, source });
		return seeded;
	}

	it('F.19 F.20 are read without a group, and with the group "", as those of all groups, validation among them', async () => {
		const uuid = await storeCheckpoint();
		const { trial, report } = await seedLinked(uuid);
		await report("validation", [{ accuracy: 0.5 }]);
		await report("inference", [{ loss: 1 }]);
		for (const group of [undefined, ""]) {
			for (const list of [trial.getMetrics(group), test.client.getCheckpoint(uuid).getMetrics(group)]) {
				const found = (await list).map(({ group, metrics }) => [group, metrics]);
				assert.deepEqual(found, [
					["validation", { accuracy: 0.5 }],
					["inference", { loss: 1 }],
				]);
			}
		}
	});

	it("F.21 are all there: 25,000 reports of 7 trials of one checkpoint", async () => {
		const uuid = await storeCheckpoint();
		const ids: number[] = [];
		for (let i = 0; i < 7; i++) {
			const { trial, report } = await seedLinked(uuid);
			ids.push(trial.id);
			const count = i === 0 ? 25_000 - 6 * 3_571 : 3_571;
			await report(
				"inference",
				Array.from({ length: count }, (_, index) => ({ index })),
			);
		}
		const reports = await test.client.getCheckpoint(uuid).getMetrics("inference");
		assert.equal(reports.length, 25_000);
		assert.equal(new Set(reports.map(({ trialId, stepsCompleted }) => `${trialId} ${stepsCompleted}`)).size, 25_000);
		const { metrics, trials } = await test.client.getCheckpoint(uuid).summarizeMetrics("inference");
		assert.equal(metrics.index?.count, 25_000);
		assert.deepEqual(
			trials.map(({ trialId }) => trialId),
			ids,
		);
		let count = 0;
		for await (const { trialId } of test.client.iterTrialsMetrics(ids.slice(1, 3), "inference")) {
			assert.ok(ids.slice(1, 3).includes(trialId));
			count++;
		}
		assert.equal(count, 2 * 3_571);
	});

	it("are summarized by the server, by checkpoint, model version and trial, and by the trials' states", async () => {
		const uuid = await storeCheckpoint();
		const model = await test.client.createModel(`summaries of ${uuid}`);
		const version = await model.registerVersion(uuid);
		const [first, second] = [await seedTrial(test.connection), await seedTrial(test.connection)];
		for (const { trial } of [first, second]) {
			await trial.reportTaskUsingModelVersion(version);
		}
		await first.report("inference", [JSON.parse('{"loss":1,"__proto__":2}'), { loss: 3 }]);
		await second.report("inference", [{ loss: Number.NaN, name: "x" }]);
		const loss = { type: "number", count: 2, min: 1, max: 3, mean: 2, sum: 4, last: 3 };
		const { metrics, trials } = await first.trial.summarizeMetrics("inference");
		assert.deepEqual(Object.entries(metrics), [
			["__proto__", { type: "number", count: 1, min: 2, max: 2, mean: 2, sum: 2, last: null }],
			["loss", loss],
		]);
		assert.deepEqual(trials, [{ trialId: first.trial.id, metrics }]);
		for (const subject of [version, test.client.getCheckpoint(uuid)]) {
			const summary = await subject.summarizeMetrics("inference");
			const { NaN: nan } = Number;
			assert.deepEqual(summary.metrics.loss, {
				...{ type: "number", count: 3, min: nan, max: nan, mean: nan, sum: nan, last: nan },
			});
			assert.deepEqual(summary.metrics.name, { type: "string", count: 1, last: "x" });
			assert.equal(summary.trials.length, 2);
		}
		await test.connection.trials.endTrialRun({
			trialId: first.trial.id,
			trialRunId: 1,
			state: TrialRunState.COMPLETED,
		});
		const done = await version.summarizeMetrics("inference", { states: ["COMPLETED"] });
		assert.deepEqual([done.metrics.loss, done.trials.length], [loss, 1]);
		const wrong = version.summarizeMetrics("inference", { states: ["DONE" as "COMPLETED"] });
		await assert.rejects(wrong, errorWith("invalid_argument", /^states is "DONE"; it must be one of "ACTIVE"/));
		await assert.rejects(version.summarizeMetrics(""), errorWith("invalid_argument", /must not be empty/));
	});

	it("keep the sign of -0 from the report to the summary, also of reports that merge", async () => {
		const { trial, report } = await seedTrial(test.connection);
		await report("inference", [{ a: -0 }]);
		await report("inference", [{ b: [-0] }]);
		await report("inference", [{ a: -0, b: [-0] }]);
		const merged = { a: -0, b: [-0] };
		for await (const { metrics } of trial.iterMetrics("inference")) {
			assert.deepEqual(metrics, merged);
		}
		const { metrics } = await trial.summarizeMetrics("inference");
		assert.deepEqual({ a: metrics.a?.last, b: metrics.b?.last }, merged);
		assert.equal(metrics.a?.min, -0);
		const { summaryMetrics } = await test.client.getTrial(trial.id);
		const shown = summaryMetrics.inference as { a: { last: number }; b: { last: number[] } };
		assert.deepEqual({ a: shown.a.last, b: shown.b.last }, merged);
	});

	it("of several trials are followed until all have ended", async () => {
		const [first, second] = [await seedTrial(test.connection), await seedTrial(test.connection)];
		await first.report("inference", [{ x: 1 }]);
		const ids = [first.trial.id, second.trial.id];
		const seen: unknown[] = [];
		for await (const { metrics } of test.client.iterTrialsMetrics(ids, "inference", { follow: true })) {
			seen.push(metrics.x);
			if (seen.length === 1) {
				await first.trial.kill();
				await second.report("inference", [{ x: 2 }]);
			} else {
				await second.trial.kill();
			}
		}
		assert.deepEqual(seen, [1, 2]);
	});

	it("refuse ids and options that are none", async () => {
		assert.throws(
			() => test.client.iterTrialsMetrics(1 as never),
			errorWith("invalid_argument", /^the trial ids are 1/),
		);
		const { trial } = await seedTrial(test.connection);
		await assert.rejects(
			async () => trial.getMetrics("g", { follow: 1 as never }),
			errorWith("invalid_argument", /^follow is 1; it must be true or false/),
		);
		await assert.rejects(
			async () => test.client.iterTrialsMetrics([]),
			errorWith("invalid_argument", /^trial_ids is empty/),
		);
	});
});
