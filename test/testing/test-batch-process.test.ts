import assert from "node:assert/strict";
import { appendFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import {
	type BatchInfo,
	BatchProcessor,
	type BatchProcessorContext,
	type MetricReducer,
	type Tensor,
} from "../../src/runtime/index.js";
import { type ProcessorCall, testBatchProcess } from "../../src/testing/index.js";
import { tempDir } from "../support/temp-dir.js";

const double = fileURLToPath(new URL("../support/fixtures/double.onnx", import.meta.url));
const numbers = (length: number) => Array.from({ length }, (_, i) => i);
const count = (calls: readonly ProcessorCall[] = [], name: string) => calls.filter(({ call }) => call === name).length;
// Of this file alone: others test processors too.
const temporary = tempDir();
process.env.TMPDIR = temporary;
const temporaryFiles = () => readdirSync(temporary).filter((name) => name.startsWith("millrace-"));

class Nothing extends BatchProcessor<number[]> {
	override processBatch() {}
}

describe("testBatchProcess", { timeout: 300_000, concurrency: false }, () => {
	it("gives the trial, the calls of each rank, the metrics and the outputs", async () => {
		class Squares extends BatchProcessor<number[]> {
			readonly #power = this.context.getHparams<{ power: number }>().power;
			#lines: string[] = [];
			readonly #sum = this.context.wrapReducer((values: readonly number[]) => values.reduce((a, b) => a + b, 0), {
				name: "sum",
			});
			override async processBatch(batch: number[]) {
				const results = batch.map((value) => value ** this.#power);
				for (const result of results) {
					this.#sum.update(result);
				}
				this.#lines.push(`${results}\n`);
				await this.context.reportMetrics("inference", { results });
			}
			override async onCheckpointStart() {
				await this.context.uploadPath((directory) => appendFileSync(join(directory, "a.txt"), this.#lines.join("")));
				this.#lines = [];
			}
			override async onFinish(results: object) {
				await this.context.uploadPath((directory) => {
					if (this.context.distributed.rank === 0) {
						writeFileSync(join(directory, "sum.json"), JSON.stringify(results));
					}
				});
			}
		}
		const options = { worldSize: 2, batchSize: 10, checkpointInterval: 1, hparams: { power: 2 } };
		const { trial, calls, errors, metrics, output } = await testBatchProcess(Squares, numbers(50), options);
		assert.deepEqual([trial.state, trial.progress, trial.hparams], ["COMPLETED", 1, { power: 2 }]);
		assert.deepEqual(
			calls.map((own) => [count(own, "processBatch"), count(own, "onCheckpointStart"), count(own, "onFinish")]),
			[
				[3, 3, 1],
				[2, 3, 1],
			],
		);
		const sum = numbers(50).reduce((a, b) => a + b * b, 0);
		assert.deepEqual(calls[1]?.[0], {
			call: "processBatch",
			batchIdx: 0,
			size: 10,
			indices: [10, 11, 12, 13, 14, 15, 16, 17, 18, 19],
		});
		assert.deepEqual(calls[1]?.at(-1), { call: "onFinish", results: { sum } });
		assert.deepEqual(
			metrics<{ results: number[] }>("inference")
				.flatMap((report) => report.metrics.results)
				.sort((a, b) => a - b),
			numbers(50).map((value) => value ** 2),
		);
		assert.deepEqual(
			metrics("validation").map((report) => report.metrics),
			[{ sum }],
		);
		assert.equal(metrics().length, 6);
		assert.equal(output("sum.json").toString(), JSON.stringify({ sum }));
		assert.equal(output("a.txt", 1).toString().split("\n").length, 3);
		assert.throws(() => output("a.txt"), { code: "invalid_argument", message: /by the ranks 0, 1; name one/ });
		assert.throws(() => output("b.txt"), { code: "not_found", message: /b\.txt.*sum\.json \(rank 0\)/ });
		assert.deepEqual(errors, []);
	});

	it("leaves nothing behind, and takes nothing from the environment", async (t) => {
		const environment = {
			MILLRACE_TRIAL_ID: "77",
			MILLRACE_TRIAL_RUN_ID: "3",
			MILLRACE_SERVER: "127.0.0.1:1",
			MILLRACE_DATA: "/nowhere/to/be/found",
			MILLRACE_GRACE: "nonsense",
			MILLRACE_STATUS_FILE: "/nowhere/status",
			RANK: "5",
			WORLD_SIZE: "9",
		};
		const before = { ...process.env };
		Object.assign(process.env, environment);
		t.after(() => {
			for (const name of Object.keys(environment)) {
				delete process.env[name];
			}
			Object.assign(process.env, before);
		});
		const seen = () => ({
			environment: { ...process.env },
			exitCode: process.exitCode,
			listeners: ["SIGTERM", "SIGINT", "SIGHUP", "exit"].map((name) => process.listenerCount(name)),
			temporary: temporaryFiles(),
		});
		const start = seen();
		let during: unknown;
		class Watching extends Nothing {
			override processBatch() {
				during = { ...seen(), temporary: undefined };
			}
		}
		const { trial } = await testBatchProcess(Watching, numbers(4), { worldSize: 2 });
		assert.equal(trial.state, "COMPLETED");
		assert.deepEqual(seen(), start);
		assert.deepEqual(during, { ...start, temporary: undefined });
	});

	it("runs several at once, and one after the other, with trials of their own", async () => {
		class Rank extends BatchProcessor<number[]> {
			override async processBatch(batch: number[]) {
				const { seed } = this.context.getHparams<{ seed: number }>();
				await this.context.reportMetrics("inference", { values: batch.map((value) => value + seed) });
			}
		}
		const run = (seed: number, worldSize: number) =>
			testBatchProcess(Rank, numbers(6), { worldSize, batchSize: 2, hparams: { seed } });
		const together = await Promise.all([run(10, 2), run(20, 3)]);
		const after = await run(30, 1);
		for (const [test, seed] of [
			[together[0], 10],
			[together[1], 20],
			[after, 30],
		] as const) {
			assert.deepEqual(
				test
					?.metrics<{ values: number[] }>()
					.flatMap(({ metrics }) => metrics.values)
					.sort((a, b) => a - b),
				numbers(6).map((value) => value + seed),
			);
		}
		assert.deepEqual(temporaryFiles(), []);
	});

	for (const [call, rank] of [
		["setup", 0],
		["processBatch", 1],
		["onCheckpointStart", 2],
		["onFinish", 1],
	] as const) {
		it(`rejects with the processor's own error: ${call} on rank ${rank}`, async () => {
			const planted = new TypeError(`planted in ${call}`);
			const at = (context: BatchProcessorContext, name: string) => {
				if (name === call && context.distributed.rank === rank) {
					throw planted;
				}
			};
			class Failing extends BatchProcessor<number[]> {
				override setup() {
					at(this.context, "setup");
				}
				override processBatch() {
					at(this.context, "processBatch");
				}
				override onCheckpointStart() {
					at(this.context, "onCheckpointStart");
				}
				override onFinish() {
					at(this.context, "onFinish");
				}
			}
			const failing = testBatchProcess(Failing, numbers(12), { worldSize: 3, batchSize: 2 });
			await assert.rejects(failing, (error) => error === planted);
			assert.deepEqual(temporaryFiles(), []);
		});
	}

	it("rejects though another worker hangs", async () => {
		const planted = new Error("planted");
		class Hanging extends BatchProcessor<number[]> {
			override processBatch() {
				return this.context.distributed.rank === 0 ? Promise.reject(planted) : new Promise<void>(() => {});
			}
		}
		await assert.rejects(testBatchProcess(Hanging, numbers(2), { worldSize: 2 }), (error) => error === planted);
	});

	it("lists the records that fail with onError skip", async () => {
		class Odd extends BatchProcessor<number[]> {
			override async processBatch(batch: number[]) {
				await this.context.uploadPath((directory) => appendFileSync(join(directory, "seen"), `${batch}\n`));
				if (batch.includes(3)) {
					throw new Error("three");
				}
			}
		}
		const { errors, output, trial } = await testBatchProcess(Odd, numbers(6), {
			batchSize: 2,
			onError: "skip",
			maxErrors: 1,
		});
		assert.deepEqual(
			errors.map(({ record, error }) => [record, error]),
			[[3, "three"]],
		);
		assert.equal(trial.state, "COMPLETED");
		assert.deepEqual(output("seen").toString().split("\n").filter(Boolean), ["0,1", "2", "4,5"]);
	});

	it("lets workers talk to each other", async () => {
		const seen: unknown[][] = [];
		class Talking extends Nothing {
			override async setup() {
				const { distributed } = this.context;
				const { rank } = distributed;
				seen[rank] = [
					await distributed.gather(rank * 10),
					await distributed.allgather(rank * 10),
					await distributed.broadcast(`from ${rank}`),
					await distributed.gatherLocal(rank),
					await distributed.allgatherLocal(rank),
					await distributed.broadcastLocal(rank + 1),
					[distributed.getRank(), distributed.getSize(), distributed.getLocalRank(), distributed.getNumAgents()],
					[distributed.rank, distributed.size, distributed.localRank, distributed.localSize],
					[distributed.crossRank, distributed.crossSize],
				];
				distributed.close();
			}
		}
		await testBatchProcess(Talking, numbers(3), { worldSize: 2 });
		assert.deepEqual(seen, [
			[[0, 10], [0, 10], "from 0", [0, 1], [0, 1], 1, [0, 2, 0, 1], [0, 2, 0, 2], [0, 1]],
			[null, [0, 10], "from 0", null, [0, 1], 1, [1, 2, 1, 1], [1, 2, 1, 2], [0, 1]],
		]);
	});

	it("runs a model, reads a data set of any kind, and keeps what goes to tensorboard", async () => {
		class Model extends BatchProcessor<string> {
			readonly #model = this.context.prepareModelForInference(double);
			override async processBatch(batch: string, _batchIdx: number, { indices }: BatchInfo) {
				assert.equal(batch, indices.join("+"));
				const { y } = await this.#model.run(this.context.toDevice(indices.map((i) => [i, i])));
				await this.context.reportMetrics("inference", { y: [...(y as Tensor<"float32">).data] });
			}
			override async onFinish() {
				writeFileSync(join(await this.context.getTensorboardPath(), "events"), "an event");
			}
		}
		let loads = 0;
		const dataset = {
			length: 4,
			version: "v1",
			get: () => -1,
			getBatch: (indices: readonly number[]) => {
				loads++;
				return [...indices];
			},
		};
		const { metrics, output } = await testBatchProcess(Model, async () => dataset, {
			batchSize: 2,
			dataLoader: { collate: (items: readonly number[]) => items.join("+"), prefetch: 0 },
		});
		assert.deepEqual(
			metrics().map((report) => report.metrics),
			[{ y: [0, 0, 2, 2] }, { y: [4, 4, 6, 6] }],
		);
		assert.equal(loads, 2);
		assert.equal(output("tensorboard/events").toString(), "an event");
	});

	it("resets a reducer once, and reduces what all ranks gave", async () => {
		let resets = 0;
		class Sum implements MetricReducer<number> {
			#sum = 0;
			add(value: number) {
				this.#sum += value;
			}
			reset() {
				resets++;
				this.#sum = 0;
			}
			perSlotReduce() {
				return this.#sum;
			}
			crossSlotReduce(perSlotMetrics: readonly number[]) {
				return perSlotMetrics.reduce((a, b) => a + b, 0);
			}
		}
		class Summing extends BatchProcessor<number[]> {
			readonly #sum = this.context.wrapReducer(new Sum(), { name: "sum", group: "totals" });
			override processBatch(batch: number[]) {
				for (const value of batch) {
					this.#sum.add(value);
				}
			}
		}
		const { metrics } = await testBatchProcess(Summing, numbers(9), { worldSize: 3, batchSize: 2, maxBatches: 1 });
		assert.equal(resets, 3);
		assert.deepEqual(
			metrics("totals").map((report) => report.metrics),
			[{ sum: 15 }],
		);
	});

	it("refuses options that a test cannot have, before it starts anything", async () => {
		const refuses = (options: object, message: RegExp) =>
			assert.rejects(testBatchProcess(Nothing, [1], options), { code: "invalid_argument", message });
		for (const worldSize of [0, 1.5, 65, "2"]) {
			await refuses({ worldSize }, /worldSize is .*; it must be a whole number from 1 to 64/);
		}
		await refuses({ server: "here:1" }, /no option server: the test has a server of its own/);
		await refuses({ stepTimeout: 1 }, /no option stepTimeout/);
		await refuses(
			{ worldsize: 2 },
			/unknown option worldsize of testBatchProcess; it has worldSize, batchSize(?!.*server)/,
		);
		await refuses({ batch_size: 1 }, /unknown option batch_size.*batchSize/);
		await refuses({ batchSize: 0 }, /batchSize is 0/);
		await assert.rejects(testBatchProcess(class {} as never, [1]), { code: "invalid_argument" });
		await assert.rejects(testBatchProcess(Nothing, 7 as never), { code: "invalid_argument" });
	});
});
