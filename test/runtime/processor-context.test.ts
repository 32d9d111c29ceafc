import assert from "node:assert/strict";
import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, it, mock } from "node:test";
import { fileURLToPath } from "node:url";
import { isMillraceError } from "../../src/errors.js";
import {
	type BatchInfo,
	type BatchProcessOptions,
	BatchProcessor,
	type BatchProcessorContext,
	batchProcess,
	DistributedContext,
	type Tensor,
} from "../../src/runtime/index.js";
import { Client, type JsonObject } from "../../src/sdk/index.js";
import { errorWith } from "../support/error-with.js";
import { startTestServer } from "../support/start-test-server.js";
import { tempDir } from "../support/temp-dir.js";

const server = await startTestServer();
const client = new Client({ server: server.address });
after(() => client.close());
const double = fileURLToPath(new URL("../support/fixtures/double.onnx", import.meta.url));

type Body = (context: BatchProcessorContext, batch: number[], batchIdx: number, info: BatchInfo) => unknown;

/** Runs a processor whose methods are given, over records 0, 1, 2 …, in this process. */
async function run(
	records: number,
	methods: {
		construct?: (context: BatchProcessorContext) => void;
		setup?: (context: BatchProcessorContext) => unknown;
		process?: Body;
		checkpoint?: (context: BatchProcessorContext) => unknown;
		finish?: (context: BatchProcessorContext) => unknown;
	},
	options: BatchProcessOptions<number, number[]> = {},
) {
	class Scripted extends BatchProcessor<number[]> {
		constructor(context: BatchProcessorContext) {
			super(context);
			methods.construct?.(context);
		}
		override async setup() {
			await methods.setup?.(this.context);
		}
		override async processBatch(batch: number[], batchIdx: number, info: BatchInfo) {
			await methods.process?.(this.context, batch, batchIdx, info);
		}
		override async onCheckpointStart() {
			await methods.checkpoint?.(this.context);
		}
		override async onFinish() {
			await methods.finish?.(this.context);
		}
	}
	const data = Array.from({ length: records }, (_, i) => i);
	const outcome = await batchProcess(Scripted, data, { server: server.address, ...options });
	return client.getTrial(outcome.trialId);
}

const code = (expected: string, message: RegExp) => (error: unknown) =>
	isMillraceError(error) && error.code === expected && message.test(error.message);

describe("BatchProcessorContext", { timeout: 240_000 }, () => {
	it("gives the hyperparameters and what the run is part of", async () => {
		let seen: BatchProcessorContext | undefined;
		const trial = await run(1, { construct: (context) => (seen = context) }, { hparams: { depth: 3, aB_c: [1] } });
		assert.deepEqual(seen?.getHparams(), { depth: 3, aB_c: [1] });
		assert.deepEqual(trial.hparams, { depth: 3, aB_c: [1] });
		assert.equal(seen?.info.trialId, trial.id);
		assert.equal(seen?.info.trialRunId, 1);
		assert.equal(seen?.info.experimentId, trial.experimentId);
		assert.equal(seen?.info.latestCheckpoint, null);
		assert.deepEqual([seen?.getDistributedRank(), seen?.getDistributedSize(), seen?.device], [0, 1, "cpu"]);
	});

	it("is the context of the worker that the environment, or the caller, says", async (t) => {
		const alone = DistributedContext.fromEnvironment();
		const before = { ...process.env };
		t.after(() => {
			process.env = before;
		});
		Object.assign(process.env, { RANK: "1", WORLD_SIZE: "2", LOCAL_RANK: "1", LOCAL_WORLD_SIZE: "2" });
		const told = DistributedContext.fromEnvironment();
		assert.deepEqual([told.getRank(), told.getSize(), told.getLocalRank(), told.getNumAgents()], [1, 2, 1, 1]);
		const seen: DistributedContext[] = [];
		const see = { construct: (context: BatchProcessorContext) => void seen.push(context.distributed) };
		await assert.rejects(run(1, see, { distributed: told }), code("failed_precondition", /2 workers but no trial/));
		await run(1, see, { distributed: alone });
		assert.deepEqual(seen, [alone]);
	});

	it("runs a model that is prepared in the constructor", async () => {
		let model: ReturnType<BatchProcessorContext["prepareModelForInference"]> | undefined;
		const doubled: number[] = [];
		await run(
			3,
			{
				construct: (context) => {
					model = context.prepareModelForInference(double);
				},
				process: async (context, batch) => {
					const outputs = await model?.run(context.toDevice(batch.map((value) => [value, -value])));
					const y = outputs?.y as Tensor<"float32">;
					doubled.push(...y.data);
				},
			},
			{ batchSize: 2 },
		);
		assert.deepEqual(doubled, [0, -0, 2, -2, 4, -4]);
	});

	it("runs a model of a checkpoint and of a model version, and links the trial to them", async () => {
		const checkpoint = await client.uploadCheckpoint(double, { reuse: true });
		const model = await client.createModel("doubler", { existOk: true });
		const version = await model.registerVersion(checkpoint.uuid);
		const trial = await run(2, {
			setup: (context) => {
				context.prepareModelForInference(checkpoint);
				context.prepareModelForInference(version);
				context.reportTaskUsingModelVersion(version);
			},
			process: (context, [value = 0]) => context.reportMetrics("inference", { value }),
		});
		for (const reports of [await version.getMetrics("inference"), await checkpoint.getMetrics("inference")]) {
			assert.deepEqual(
				reports.map(({ trialId, stepsCompleted, metrics, rank }) => ({ trialId, stepsCompleted, metrics, rank })),
				[
					{ trialId: trial.id, stepsCompleted: 1, metrics: { value: 0 }, rank: 0 },
					{ trialId: trial.id, stepsCompleted: 2, metrics: { value: 1 }, rank: 0 },
				],
			);
		}
	});

	it("fails the run when a link is to something that does not exist", async () => {
		const uuid = "11111111-2222-3333-4444-555555555555";
		const linked = run(1, { setup: (context) => void context.reportTaskUsingCheckpoint({ uuid }) });
		await assert.rejects(linked, code("not_found", /11111111-2222-3333-4444-555555555555/));
	});

	it("links the version and the checkpoint that pending objects stand for", async () => {
		const checkpoint = client.uploadCheckpoint(double);
		const model = await client.createModel("awaited by the context");
		await model.registerVersion((await checkpoint).uuid);
		const trial = await run(1, {
			setup: (context) => {
				context.reportTaskUsingModelVersion(client.getModel("awaited by the context").getVersion());
				context.reportTaskUsingCheckpoint(checkpoint);
			},
			process: (context) => context.reportMetrics("inference", { x: 1 }),
		});
		for (const [report] of [await model.getVersion(1).getMetrics(), await (await checkpoint).getMetrics()]) {
			assert.equal(report?.trialId, trial.id);
		}
	});

	it("fails the run for a link to no version and to no checkpoint", async () => {
		await client.createModel("without versions");
		const link = (setup: (context: BatchProcessorContext) => unknown) => run(1, { setup });
		const nothing = undefined as never;
		const none = link((context) =>
			context.reportTaskUsingModelVersion(client.getModel("without versions").getVersion()),
		);
		await assert.rejects(none, code("invalid_argument", /^the model has no version/));
		const version = link((context) => context.reportTaskUsingModelVersion(nothing));
		await assert.rejects(version, code("invalid_argument", /^the model version is undefined; give/));
		const checkpoint = link((context) => context.reportTaskUsingCheckpoint(nothing));
		await assert.rejects(checkpoint, code("invalid_argument", /^the checkpoint is undefined; give/));
	});

	it("fails the run for a model file that is not ONNX, and for one that does not exist", async () => {
		const file = join(tempDir(), "rubbish.onnx");
		writeFileSync(file, "this is not a model");
		const prepare = (path: string) => run(1, { setup: (context) => void context.prepareModelForInference(path) });
		await assert.rejects(prepare(file), code("invalid_argument", /rubbish\.onnx/));
		await assert.rejects(prepare(`${file}.missing`), code("not_found", /rubbish\.onnx\.missing/));
	});

	it("names input, wanted and given shape for a tensor of the wrong shape", async () => {
		const wrong = run(1, {
			process: (context) => context.prepareModelForInference(double).run(context.toDevice([[1, 2, 3]])),
		});
		await assert.rejects(wrong, code("invalid_argument", /"x".*\[n, 2\].*\[1, 3\]/));
	});

	it("returns what is no tensor as it is, with one warning a type", async () => {
		const warn = mock.method(console, "warn", () => {});
		await run(1, {
			process: (context) => {
				const date = new Date();
				assert.equal(context.toDevice(date), date);
				assert.equal(context.toDevice(date), date);
				assert.equal(context.toDevice("text"), "text");
				assert.deepEqual(context.toDevice({ a: [1], b: "text" }).a.dims, [1]);
			},
		});
		const warnings = warn.mock.calls.map(({ arguments: [text] }) => String(text));
		warn.mock.restore();
		assert.equal(warnings.filter((text) => text.includes("Date")).length, 1);
		assert.equal(warnings.filter((text) => text.includes("string")).length, 1);
	});

	const badReports: [string, (context: BatchProcessorContext) => Promise<void>, RegExp][] = [
		["a group that is empty", (context) => context.reportMetrics("", { a: 1 }), /group must not be empty/],
		["a group with a dot", (context) => context.reportMetrics("a.b", { a: 1 }), /"a\.b" must not have a dot/],
		["a function", (context) => context.reportMetrics("g", { a: () => 1 } as never), /metrics\.a is a function/],
		["a BigInt", (context) => context.reportMetrics("g", { a: [1, 2n] } as never), /metrics\.a\[1\] is a BigInt/],
		["a step that is negative", (context) => context.reportMetrics("g", -1, { a: 1 }), /stepsCompleted is -1/],
		[
			"a cycle",
			(context) => {
				const cycle: JsonObject = {};
				cycle.self = cycle;
				return context.reportMetrics("g", cycle);
			},
			/metrics\.self/,
		],
	];
	for (const [name, report, message] of badReports) {
		it(`refuses to report ${name}, and stores nothing`, async () => {
			let trialId = 0;
			const failed = run(1, {
				process: async (context) => {
					trialId = context.info.trialId;
					await report(context);
				},
			});
			await assert.rejects(failed, code("invalid_argument", message));
			assert.deepEqual(await client.getTrial(trialId).getMetrics(), []);
		});
	}

	it("reports about one of several checkpoints or model versions, which the trial is then linked to", async () => {
		const [a, b] = [
			await client.uploadCheckpoint(double, { metadata: { n: 1 } }),
			await client.uploadCheckpoint(double),
		];
		const model = await client.createModel("compared");
		await model.registerVersion(b.uuid);
		const trial = await run(1, {
			process: (context) => {
				context.reportMetrics("inference", { x: 0 });
				context.reportMetrics("inference", { x: 1 }, { checkpoint: a });
				context.reportMetrics("inference", 1, { x: 2 }, { modelVersion: client.getModel("compared").getVersion(1) });
			},
		});
		const values = async (list: AsyncIterable<{ metrics: JsonObject }>) => {
			const found: unknown[] = [];
			for await (const { metrics } of list) {
				found.push(metrics.x);
			}
			return found.sort();
		};
		assert.deepEqual(await values(a.getMetrics("inference")), [0, 1]);
		assert.deepEqual(await values(b.getMetrics("inference")), [0, 2]);
		assert.deepEqual(await values(client.getModel("compared").getVersion(1).getMetrics("inference")), [0, 2]);
		const named = (await trial.getMetrics("inference")).find(({ metrics }) => metrics.x === 2);
		assert.deepEqual([named?.checkpointUuid, named?.modelId, named?.modelVersion], [b.uuid, model.modelId, 1]);
		const both = { checkpoint: a, modelVersion: { modelId: 1, modelVersion: 1 } };
		const twice = run(1, { process: (context) => context.reportMetrics("inference", { x: 1 }, both) });
		await assert.rejects(twice, errorWith("invalid_argument", /^checkpoint and modelVersion are both given/));
	});

	it("surfaces the failure of a report that nobody awaited at the next commit", async () => {
		const failed = run(1, {
			process: (context) => {
				context.reportMetrics("inference", 1, { a: 1 });
				context.reportMetrics("inference", 1, { a: 2 });
			},
		});
		await assert.rejects(failed, code("already_exists", /a/));
	});

	it("keeps the files of uploadPath with the commits, and NaN in the metrics", async () => {
		const trial = await run(
			10,
			{
				process: (context, batch) =>
					context.reportMetrics("inference", { nan: Number.NaN, last: batch.at(-1) ?? null }),
				checkpoint: (context) => context.uploadPath((directory) => appendFileSync(join(directory, "log.txt"), "x")),
				finish: (context) => context.uploadPath((directory) => writeFileSync(join(directory, "end.txt"), "done")),
			},
			{ batchSize: 2, checkpointInterval: 2 },
		);
		const outputs = await trial.listOutputs();
		assert.deepEqual(outputs.map(({ path, rank, sizeBytes }) => [path.replace(/^.*\//, ""), rank, sizeBytes]).sort(), [
			["end.txt", 0, 4],
			["log.txt", 0, 3],
		]);
		const files = await trial.downloadOutputs(tempDir());
		assert.deepEqual(files.map((file) => readFileSync(file, "utf8")).sort(), ["done", "xxx"]);
		const [first] = await trial.getMetrics("inference");
		assert.deepEqual(first?.metrics, { nan: Number.NaN, last: 1 });
	});

	it("fails the commit when a committed file has changed", async () => {
		let written = "first";
		const failed = run(
			2,
			{
				checkpoint: (context) => context.uploadPath((directory) => writeFileSync(join(directory, "a.txt"), written)),
				process: () => {
					written = written === "first" ? "first" : "other";
				},
				finish: (context) => context.uploadPath((directory) => writeFileSync(join(directory, "a.txt"), "other")),
			},
			{ checkpointInterval: 1 },
		);
		await assert.rejects(failed, code("failed_precondition", /a\.txt/));
	});

	it("keeps ONNX Runtime's profile with the outputs", async () => {
		const trial = await run(
			1,
			{
				process: async (context) => {
					await context.prepareModelForInference(double).run(context.toDevice([[1, 2]]));
				},
			},
			{ profile: true },
		);
		const outputs = await trial.listOutputs();
		assert.equal(outputs.length, 1);
		assert.match(outputs[0]?.path ?? "", /tensorboard\/.*\.json$/);
		assert.ok((outputs[0]?.sizeBytes ?? 0) > 100);
	});

	it("tells each batch its records and passes on what a data set function makes", async () => {
		const seen: (readonly number[])[] = [];
		class Indices extends BatchProcessor<string> {
			override processBatch(batch: string, _batchIdx: number, { indices }: BatchInfo) {
				assert.equal(batch, indices.map((i) => i * 10).join());
				seen.push(indices);
			}
		}
		await batchProcess(Indices, async () => ({ length: 5, get: async (i: number) => i * 10 }), {
			server: server.address,
			batchSize: 2,
			dataLoader: { collate: (items) => items.join() },
		});
		assert.deepEqual(seen, [[0, 1], [2, 3], [4]]);
	});

	it("names the record that could not be loaded", async () => {
		class Nothing extends BatchProcessor {
			override processBatch() {}
		}
		const dataset = {
			length: 4,
			get: (i: number) => {
				if (i === 3) {
					throw new Error("unreadable");
				}
				return i;
			},
		};
		await assert.rejects(batchProcess(Nothing, dataset, { server: server.address }), /record 3.*unreadable/);
	});
});
