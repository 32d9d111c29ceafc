import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { TrialService } from "../../../src/gen/millrace/v1/trial_service_pb.js";
import { type CoreContext, core } from "../../../src/runtime/index.js";
import { Client, type JsonObject } from "../../../src/sdk/index.js";
import { errorWith } from "../../support/error-with.js";
import { startTestServer } from "../../support/start-test-server.js";
import { waitUntil } from "../../support/wait-until.js";

const server = await startTestServer();
const client = new Client({ server: server.address });
after(() => client.close());

/** Runs a loop alone, and returns its trial. */
async function run(loop: (context: CoreContext) => unknown): Promise<number> {
	let trialId = 0;
	await core.init(
		async (context) => {
			trialId = context.info.trialId;
			await loop(context);
		},
		{ server: server.address },
	);
	return trialId;
}

describe("TrainContext", { timeout: 240_000 }, () => {
	it("reports metrics of any group, with the rank of the worker", async () => {
		const trialId = await run(async ({ train }) => {
			await train.reportMetrics("inference", 1, { seen: 3, worst: Number.NaN });
			void train.reportTrainingMetrics(2, { loss: 0.5 }, [{ loss: 0.25 }, { loss: 0.75 }]);
			void train.reportValidationMetrics(2, { accuracy: 0.9 });
		});
		const reports = await client.getTrial(trialId).getMetrics();
		assert.deepEqual(
			reports.map(({ group, stepsCompleted, rank, metrics }) => [group, stepsCompleted, rank, metrics]),
			[
				["inference", 1, 0, { seen: 3, worst: Number.NaN }],
				["training", 2, 0, { loss: 0.5 }],
				["validation", 2, 0, { accuracy: 0.9 }],
			],
		);
		assert.deepEqual(reports[1]?.batchMetrics, [{ loss: 0.25 }, { loss: 0.75 }]);
	});

	it("reports about one of several checkpoints, and links the trial to it", async () => {
		let [a, b] = ["", ""];
		await run(async ({ checkpoint, train }) => {
			const store = (steps: number) =>
				checkpoint.storePath({ steps_completed: steps }, (path) => writeFileSync(join(path, "a"), `${steps}`));
			[a, b] = [await store(1), await store(2)];
			const model = await client.createModel("reported");
			await model.registerVersion(b);
			void train.reportMetrics("inference", 1, { x: 1 }, { checkpoint: a });
			void train.reportValidationMetrics(1, { x: 2 }, { modelVersion: client.getModel("reported").getVersion(1) });
			await train.reportTrainingMetrics(1, { x: 3 }, undefined, { checkpoint: client.getCheckpoint(b) });
			const both = { checkpoint: a, modelVersion: { modelId: 1, modelVersion: 1 } };
			const twice = train.reportMetrics("inference", 2, { x: 1 }, both);
			await assert.rejects(twice, errorWith("invalid_argument", /^checkpoint and modelVersion are both given/));
			const unknown = { checkpoint: "00000000-0000-4000-8000-000000000000" };
			await assert.rejects(train.reportMetrics("inference", 2, {}, unknown), errorWith("not_found", /00000000/));
		});
		const metricsOf = async (uuid: string) =>
			(await client.getCheckpoint(uuid).getMetrics()).map(({ group, metrics }) => [group, metrics]);
		assert.deepEqual(await metricsOf(a), [["inference", { x: 1 }]]);
		assert.deepEqual((await metricsOf(b)).sort(), [
			["training", { x: 3 }],
			["validation", { x: 2 }],
		]);
	});

	it("says how far the trial is and what it does, the newest last", async () => {
		await run(async ({ train, info: { trialId } }) => {
			for (let i = 1; i <= 200; i++) {
				void train.reportProgress(i / 400);
				void train.setStatus(`step ${i}`);
			}
			await Promise.all([train.reportProgress(0.75), train.setStatus("evaluating")]);
			const { trial } = await server.client(TrialService).getTrial({ trialId });
			assert.deepEqual([trial?.progress, trial?.status], [0.75, "evaluating"]);
		});
	});

	it("replaces the trial's metadata", async () => {
		await run(async ({ train }) => {
			assert.deepEqual(await train.getMetadata(), {});
			await train.setMetadata({ data: "2026-11", nested: { a: [1] } });
			await train.setMetadata({ nested: { b: null } });
			assert.deepEqual(await train.getMetadata(), { nested: { b: null } });
			await assert.rejects(train.setMetadata({ "a.b": 1 }), errorWith("invalid_argument", /a\.b/));
		});
	});

	it("surfaces the failure of a report that nobody awaited at the next one, once, and waits for none (F.6)", async () => {
		await run(async ({ train }) => {
			await train.reportMetrics("a", 1, { x: 1 });
			const failed = train.reportMetrics("a", 1, { x: 2 });
			const next = await waitUntil("the failure to be known", () => {
				try {
					void train.reportMetrics("b", 1, { x: 1 });
					return undefined;
				} catch (error) {
					return { error };
				}
			});
			assert.ok(errorWith("already_exists", /conflicting key: x/)(next.error as Error));
			await train.reportMetrics("c", 1, { x: 1 });
			await assert.rejects(failed, errorWith("already_exists", /conflicting key: x/));
		});
	});

	it("goes on after a failure that was heard, and a queue that is full says so instead of blocking (F.6)", async () => {
		const trialId = await run(async ({ train }) => {
			await train.reportMetrics("a", 1, { x: 1 });
			await assert.rejects(train.reportMetrics("a", 1, { x: 2 }), errorWith("already_exists", /x/));
			const text = "x".repeat(20 * 1024 * 1024);
			const waiting = [1, 2, 3].map((step) => train.reportMetrics("big", step, { text }));
			assert.throws(() => train.reportMetrics("big", 4, { text }), errorWith("resource_exhausted", /3 reports with/));
			await Promise.all(waiting);
			await train.reportMetrics("big", 4, { x: 1 });
		});
		const reports = await client.getTrial(trialId).getMetrics("big");
		assert.equal(reports.length, 4);
	});

	it("fails the run at its end for a report that failed unheard, and ends it all the same (F.47)", async () => {
		let trialId = 0;
		const failed = core.init(
			async ({ train, info }) => {
				trialId = info.trialId;
				await train.reportMetrics("a", 1, { x: 1 });
				void train.reportMetrics("a", 1, { x: 2 });
			},
			{ server: server.address },
		);
		await assert.rejects(failed, errorWith("already_exists", /conflicting key: x/));
		const trial = await client.getTrial(trialId);
		assert.equal(trial.state, "ERROR");
		assert.ok(await run(() => {}), "another run is possible");
	});

	const wrong: [string, (context: CoreContext) => unknown, RegExp][] = [
		["a group with a dot", ({ train }) => train.reportMetrics("a.b", 1, {}), /must not have a dot/],
		["half a step", ({ train }) => train.reportMetrics("a", 0.5, {}), /stepsCompleted is 0\.5/],
		[
			"metrics that are no JSON (F.54)",
			({ train }) => train.reportMetrics("a", 1, { a: new Uint8Array(1) } as unknown as JsonObject),
			/metrics\.a is an Uint8Array/,
		],
		[
			"batch metrics that are no list",
			({ train }) => train.reportTrainingMetrics(1, {}, {} as unknown as JsonObject[]),
			/batchMetrics must be an array/,
		],
		["a progress over 1", ({ train }) => train.reportProgress(1.1), /the progress is 1\.1; it must be from 0 to 1/],
		["a status that is no text", ({ train }) => train.setStatus(1 as unknown as string), /the status is 1/],
	];
	it("refuses at once what is malformed", async () => {
		await run((context) => {
			for (const [what, call, message] of wrong) {
				assert.throws(() => call(context), errorWith("invalid_argument", message), what);
			}
		});
	});
});

describe("ExperimentalContext", { timeout: 240_000 }, () => {
	it("links the trial to what it uses, also off any cluster (F.27)", async () => {
		const model = await client.createModel("linked");
		const trialId = await run(async ({ checkpoint, experimental, train }) => {
			const uuid = await checkpoint.storePath({ steps_completed: 1 }, (path) => writeFileSync(join(path, "a"), "a"));
			await model.registerVersion(uuid);
			await experimental.reportTaskUsingCheckpoint(client.getCheckpoint(uuid));
			await experimental.reportTaskUsingModelVersion(client.getModel("linked").getVersion(1));
			await train.reportMetrics("inference", 1, { a: 1 });
		});
		const version = await client.getModel("linked").getVersion(1);
		const reports = await version?.getMetrics("inference");
		assert.deepEqual(
			reports?.map((report) => [report.trialId, report.metrics]),
			[[trialId, { a: 1 }]],
		);
		const unknown = { uuid: "00000000-0000-4000-8000-000000000000" };
		const failed = run(({ experimental }) => void experimental.reportTaskUsingCheckpoint(unknown));
		await assert.rejects(failed, errorWith("not_found", /00000000/));
	});
});
