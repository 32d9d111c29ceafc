import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { TrialService } from "../../src/gen/millrace/v1/trial_service_pb.js";
import { Client } from "../../src/sdk/index.js";
import { startTestServer } from "../support/start-test-server.js";
import { startWorkers, type WorkerEnd } from "../support/start-workers.js";
import { tempDir } from "../support/temp-dir.js";

const server = await startTestServer();
const client = new Client({ server: server.address });
after(() => client.close());

describe("batchProcess", { timeout: 240_000 }, () => {
	/** Runs a trial once with real worker processes. */
	async function run(world: number, options: object | ((rank: number) => object), trialId?: number) {
		const trial = trialId ?? (await newTrial());
		const workers = startWorkers({ server: server.address, world, trialId: trial, options });
		const ends = await Promise.all(workers.map(({ ended }) => ended));
		return { trialId: trial, ends };
	}

	async function newTrial(): Promise<number> {
		const experiment = await client.createExperiment({ name: "test", entrypoint: "test" });
		return (await client.createTrial(experiment.id, { maxRestarts: 5 })).id;
	}

	function assertDone(ends: readonly WorkerEnd[]): void {
		for (const { code, signal, stderr } of ends) {
			assert.deepEqual({ code, signal }, { code: 0, signal: null }, stderr);
		}
	}

	const count = ({ lines }: WorkerEnd, call: string) => lines.filter((line) => line.call === call).length;

	// Rows: records, batch size, world, and for each rank the calls of processBatch and onCheckpointStart.
	const table: [string, object, number, [batches: number, checkpoints: number][]][] = [
		["50 records, batch 10", { records: 50, batchSize: 10 }, 1, [[5, 5]]],
		[
			"50 records, batch 10",
			{ records: 50, batchSize: 10 },
			2,
			[
				[3, 3],
				[2, 3],
			],
		],
		["50 records, batch 20", { records: 50, batchSize: 20 }, 1, [[3, 3]]],
		[
			"50 records, batch 20",
			{ records: 50, batchSize: 20 },
			2,
			[
				[2, 2],
				[1, 2],
			],
		],
		[
			"53 records, batch 10",
			{ records: 53, batchSize: 10 },
			2,
			[
				[3, 3],
				[3, 3],
			],
		],
		[
			"fewer batches than workers",
			{ records: 15, batchSize: 10 },
			3,
			[
				[1, 1],
				[1, 1],
				[0, 1],
			],
		],
		[
			"maxBatches 2",
			{ records: 50, batchSize: 10, maxBatches: 2 },
			2,
			[
				[2, 2],
				[2, 2],
			],
		],
		["maxBatches 1", { records: 50, batchSize: 20, maxBatches: 1 }, 1, [[1, 1]]],
		["an interval that does not divide", { records: 50, batchSize: 10, checkpointInterval: 2 }, 1, [[5, 3]]],
		[
			"an empty data set",
			{ records: 0, batchSize: 10 },
			2,
			[
				[0, 0],
				[0, 0],
			],
		],
	];
	for (const [name, options, world, expected] of table) {
		it(`calls each worker as often as documented: ${name}, world ${world}`, async () => {
			const { ends, trialId } = await run(world, { checkpointInterval: 1, ...options });
			assertDone(ends);
			const counts = ends.map((end) => [count(end, "processBatch"), count(end, "onCheckpointStart")]);
			assert.deepEqual(counts, expected);
			assert.deepEqual(
				ends.map((end) => count(end, "onFinish")),
				expected.map(() => 1),
			);
			const trial = await client.getTrial(trialId);
			assert.deepEqual([trial.state, trial.progress], ["COMPLETED", 1]);
		});
	}

	it("gives every worker the reducers' results, and reports them to their groups", async () => {
		const { ends, trialId } = await run(2, { records: 50, batchSize: 7 });
		assertDone(ends);
		const results = { sum: (49 * 50) / 2, in_order: 50 };
		for (const { lines } of ends) {
			assert.deepEqual(lines.find(({ call }) => call === "onFinish")?.results, results);
		}
		const validation = await client.getTrial(trialId).getMetrics("validation");
		assert.deepEqual(
			validation.map(({ metrics, rank }) => ({ metrics, rank })),
			[{ metrics: { sum: results.sum }, rank: undefined }],
		);
		const inference = await client.getTrial(trialId).getMetrics("inference");
		assert.equal(inference.filter(({ metrics }) => "in_order" in metrics).length, 1);
		assert.equal(inference.filter(({ metrics }) => "batch_sum" in metrics).length, 8);
	});

	it("reduces and reports nothing over an empty data set", async () => {
		const { ends, trialId } = await run(1, { records: 0 });
		assertDone(ends);
		assert.deepEqual(ends[0]?.lines.find(({ call }) => call === "onFinish")?.results, {});
		assert.deepEqual(await client.getTrial(trialId).getMetrics(), []);
		assert.deepEqual(await client.getTrial(trialId).listOutputs(), []);
	});

	it("makes a trial of its own when a single worker has none", async () => {
		const [worker] = startWorkers({ server: server.address, world: 1, options: { records: 3 } });
		const end = await worker?.ended;
		assert.equal(end?.code, 0, end?.stderr);
		const outcome = end?.lines.at(-1)?.outcome;
		assert.equal(outcome?.status, "completed");
		assert.equal((await client.getTrial(outcome?.trialId ?? 0)).state, "COMPLETED");
	});

	it("refuses several workers without a trial, and says what to set", async () => {
		const workers = startWorkers({ server: server.address, world: 2, options: { records: 3 } });
		for (const { code, stderr } of await Promise.all(workers.map(({ ended }) => ended))) {
			assert.notEqual(code, 0);
			assert.match(stderr, /2 workers but no trial.*MILLRACE_TRIAL_ID/);
		}
	});

	it("returns the outcome at once for a trial that is completed", async () => {
		const { trialId } = await run(1, { records: 5 });
		const { ends } = await run(1, { records: 5 }, trialId);
		assertDone(ends);
		assert.deepEqual(ends[0]?.lines, [{ outcome: { status: "completed", trialId, trialRunId: 1 } }]);
	});

	it("goes on with what is left after a crash, with another world and batch size, and counts everything once", async () => {
		const kill = { call: "processBatch", count: 4, rank: 1, run: 1 };
		const trialId = await newTrial();
		const first = await run(2, { records: 101, batchSize: 7, checkpointInterval: 1, kill }, trialId);
		assert.equal(first.ends[1]?.signal, "SIGKILL");
		assert.match(first.ends[0]?.stderr ?? "", /rank 1 on .* is lost; last commit/);
		const second = await run(3, { records: 101, batchSize: 10 }, trialId);
		assertDone(second.ends);
		const trial = await client.getTrial(trialId);
		assert.deepEqual([trial.state, trial.restarts, trial.trialRunId], ["COMPLETED", 1, 2]);
		const sums = (await trial.getMetrics("inference")).flatMap(({ metrics }) => metrics.batch_sum ?? []);
		assert.equal(
			sums.reduce((a, b) => Number(a) + Number(b), 0),
			(100 * 101) / 2,
		);
		assert.deepEqual(second.ends[0]?.lines.find(({ call }) => call === "onFinish")?.results, {
			sum: (100 * 101) / 2,
			in_order: 101,
		});
	});

	it("does the whole end again when a worker dies in it", async () => {
		const kill = { call: "onFinish", count: 1, rank: 0, run: 1 };
		const trialId = await newTrial();
		const first = await run(2, { records: 20, batchSize: 3, kill }, trialId);
		assert.equal(first.ends[0]?.signal, "SIGKILL");
		const second = await run(2, { records: 20, batchSize: 3 }, trialId);
		assertDone(second.ends);
		assert.equal(count(second.ends[0] as WorkerEnd, "processBatch"), 0);
		const validation = await client.getTrial(trialId).getMetrics("validation");
		assert.deepEqual(
			validation.map(({ metrics }) => metrics),
			[{ sum: 190 }],
		);
	});

	it("fails all workers at once when one throws, and says which", async () => {
		const fail = { call: "processBatch", count: 2, rank: 1, run: 1 };
		const { ends, trialId } = await run(2, { records: 50, batchSize: 5, checkpointInterval: 1, fail });
		assert.match(ends[1]?.stderr ?? "", /planted in processBatch/);
		assert.match(ends[0]?.stderr ?? "", /rank 1 on .* failed: planted in processBatch/);
		assert.deepEqual([ends[0]?.code, ends[1]?.code], [1, 1]);
		assert.equal((await client.getTrial(trialId)).state, "ACTIVE");
	});

	it("refuses a later run over other data, and names both", async () => {
		const kill = { call: "processBatch", count: 2, rank: 0, run: 1 };
		const trialId = await newTrial();
		await run(1, { records: 20, checkpointInterval: 1, kill }, trialId);
		const { ends } = await run(1, { records: 21 }, trialId);
		assert.match(ends[0]?.stderr ?? "", /21.*20|20.*21/);
		assert.equal(ends[0]?.code, 1);
	});

	it("refuses a second call with the same trial, whose data would never be read", async () => {
		const trialId = await newTrial();
		const options = { records: 3 };
		const [worker] = startWorkers({ server: server.address, world: 1, trialId, worker: "twice-worker.ts", options });
		assert.ok(worker);
		const { lines, stderr } = await worker.ended;
		const [first, second] = lines.map(({ outcome }) => outcome as object);
		assert.deepEqual(first, { status: "completed", trialId, trialRunId: 1 }, stderr);
		const message =
			`batchProcess was called before in this process with trial ${trialId} (MILLRACE_TRIAL_ID), and a trial is one` +
			" job; call it once, or start another script with a trial of its own";
		assert.deepEqual(second, { code: "failed_precondition", message });
	});

	it("makes a trial for each call of a script without one, and goes on after a call that threw", async () => {
		const outcomes = async (options: object, trialId?: number) => {
			const setup = { server: server.address, world: 1, worker: "twice-worker.ts", options };
			const [worker] = startWorkers({ ...setup, ...(trialId === undefined ? {} : { trialId }) });
			assert.ok(worker);
			const { lines } = await worker.ended;
			return lines.map(({ outcome }) => outcome as { status?: string; trialId?: number });
		};
		const [first, second] = await outcomes({ records: 3 });
		assert.deepEqual([first?.status, second?.status], ["completed", "completed"]);
		assert.notEqual(first?.trialId, second?.trialId);
		const [failed, repeated] = await outcomes({ records: 3, failFirst: true }, await newTrial());
		assert.deepEqual([failed?.status, repeated?.status], [undefined, "completed"]);
	});

	it("refuses workers whose options differ, and names rank and option", async () => {
		const options = (rank: number) => ({ records: 20, batchSize: 5 + rank });
		const { ends } = await run(2, options);
		const messages = ends.map(({ stderr }) => stderr).join("\n");
		assert.match(messages, /batch_?[sS]ize/);
		assert.match(messages, /rank 0/);
		assert.match(messages, /rank 1/);
		assert.ok(ends.every(({ code }) => code === 1));
	});

	it("fails before the first batch when the storage is not mounted, names its path, and does not make it", async () => {
		const host_path = join(tempDir(), "not-mounted");
		const checkpoint_storage = { type: "shared_fs", host_path } as const;
		const experiment = await client.createExperiment({ name: "test", entrypoint: "test", checkpoint_storage });
		const { ends, trialId } = await run(1, { records: 5 }, (await client.createTrial(experiment.id)).id);
		assert.match(ends[0]?.stderr ?? "", new RegExp(`host_path ${host_path} is not a directory`));
		assert.deepEqual([ends[0]?.code, ends[0]?.lines], [1, []]);
		assert.equal(existsSync(host_path), false);
		const { trialRun } = await server.client(TrialService).getTrialRun({ trialId, trialRunId: 1 });
		assert.match(trialRun?.reason ?? "", /host_path/);
	});

	it("stops at the next commit when it is asked to pause, and goes on after activation", async () => {
		const directory = tempDir();
		const file = join(directory, "go-on");
		const hold = { call: "processBatch", count: 2, rank: 0, run: 1, file };
		const options = { records: 40, batchSize: 2, checkpointInterval: 2 };
		const trialId = await newTrial();
		const workers = startWorkers({ server: server.address, world: 2, trialId, options: { ...options, hold } });
		await workers[0]?.line(({ call, count }) => call === "processBatch" && count === 2);
		await client.getTrial(trialId).pause();
		writeFileSync(file, "");
		for (const { code, lines, stderr } of await Promise.all(workers.map(({ ended }) => ended))) {
			assert.equal(code, 75, stderr);
			assert.deepEqual(lines.at(-1)?.outcome, { status: "preempted", trialId, trialRunId: 1 });
			assert.equal(lines.filter(({ call }) => call === "processBatch").length, 2);
		}
		assert.equal((await client.getTrial(trialId)).state, "PAUSED");

		const refused = await run(2, options, trialId);
		assert.match(refused.ends[0]?.stderr ?? "", /paused/);

		await client.getTrial(trialId).activate();
		const { ends } = await run(1, options, trialId);
		assertDone(ends);
		assert.equal(count(ends[0] as WorkerEnd, "processBatch"), 16);
		assert.deepEqual(ends[0]?.lines.find(({ call }) => call === "onFinish")?.results, { sum: 780, in_order: 40 });
	});
});
