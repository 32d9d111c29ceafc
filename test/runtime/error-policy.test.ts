import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { TrialService } from "../../src/gen/millrace/v1/trial_service_pb.js";
import { Client } from "../../src/sdk/index.js";
import { openStorage } from "../../src/storage/open-storage.js";
import { startTestServer } from "../support/start-test-server.js";
import { startWorkers, type WorkerEnd } from "../support/start-workers.js";
import { tempDir } from "../support/temp-dir.js";
import type { BadRecords, FailingWorkerOptions } from "../support/workers/failing-worker.js";

const server = await startTestServer();
const client = new Client({ server: server.address });
after(() => client.close());

/** A run of a new trial, or of the one with this id, by real worker processes. */
async function run(world: number, options: FailingWorkerOptions, trialId?: number) {
	const experiment = trialId ?? (await client.createExperiment({ name: "test", entrypoint: "test" })).id;
	const trial = trialId ?? (await client.createTrial(experiment, { maxRestarts: 5 })).id;
	const setup = { server: server.address, world, trialId: trial, worker: "failing-worker.ts" };
	const workers = startWorkers({ ...setup, options: { onError: "skip", ...options } });
	const ends = await Promise.all(workers.map(({ ended }) => ended));
	return { trialId: trial, ends, stderr: ends.map(({ stderr }) => stderr).join("\n") };
}

const numbers = (length: number) => Array.from({ length }, (_, i) => i);
const sumOf = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
const hashOf = (values: readonly number[]) => values.reduce((h, value) => (h * 31 + value + 1) % 1_000_003, 7);
const calls = ({ lines }: WorkerEnd, call: string) => lines.filter((line) => line.call === call);

/** Asserts that a trial is completed, with all that a run over the good records alone would have given. */
async function assertGood(trialId: number, ends: readonly WorkerEnd[], records: number, failed: readonly number[]) {
	for (const { code, signal, stderr } of ends) {
		assert.deepEqual({ code, signal }, { code: 0, signal: null }, stderr);
	}
	const good = numbers(records).filter((record) => !failed.includes(record));
	const trial = await client.getTrial(trialId);
	assert.deepEqual([trial.state, trial.progress], ["COMPLETED", 1]);
	assert.deepEqual(
		(await trial.listErrors()).map(({ record }) => record),
		failed,
	);
	const results = { sum: sumOf(good), hash: hashOf(good) };
	for (const end of ends) {
		assert.deepEqual(
			calls(end, "onFinish").map((line) => line.results),
			[results],
		);
	}
	const metrics = await trial.getMetrics();
	assert.deepEqual(
		metrics.filter(({ group }) => group === "validation").map((report) => report.metrics),
		[results],
	);
	// Each confirmed value once, and no other.
	const inference = metrics
		.filter(({ group }) => group === "inference")
		.flatMap((report) => Object.entries(report.metrics));
	const values = inference.filter(([name]) => name.startsWith("value_")).map(([, value]) => Number(value));
	assert.deepEqual(
		values.sort((a, b) => a - b),
		good,
	);
	assert.equal(
		sumOf(inference.filter(([name]) => name === "batch_sum").map(([, value]) => Number(value))),
		sumOf(good),
	);
	const summary = trial.summaryMetrics.inference as { batch_sum?: { sum: number } } | undefined;
	assert.equal(summary?.batch_sum?.sum ?? 0, sumOf(good));
	await assertOutputs(trialId, good);
}

/** Asserts that the outputs hold each good record once, and that no other file is left. */
async function assertOutputs(trialId: number, good: readonly number[]) {
	const outputs = (await client.getTrial(trialId).listOutputs()).map(({ path }) => path);
	const paths = await client.getTrial(trialId).downloadOutputs(tempDir());
	const valuesIn = (fits: (path: string) => boolean) =>
		paths
			.filter(fits)
			.flatMap((path) => readFileSync(path, "utf8").split("\n").slice(0, -1).map(Number))
			.sort((a, b) => a - b);
	assert.deepEqual(
		valuesIn((path) => path.endsWith(".log")),
		good,
	);
	assert.deepEqual(
		valuesIn((path) => path.endsWith(".txt")),
		good,
	);
	const { trial } = await server.client(TrialService).getTrial({ trialId });
	const directory = openStorage(trial?.storage).directory(trial?.outputUuid ?? "");
	const found = readdirSync(directory, { recursive: true, withFileTypes: true })
		.filter((entry) => entry.isFile())
		.map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(directory.length + 1));
	assert.deepEqual(found.sort(), outputs.sort());
}

/** Asserts that a record is always processed under the index of its batch, on its rank. */
function assertBatchIndices(ends: readonly WorkerEnd[], batchSize: number) {
	for (const [rank, end] of ends.entries()) {
		for (const { batchIdx, indices = [] } of calls(end, "processBatch")) {
			const batch = Math.floor((indices[0] ?? 0) / batchSize);
			assert.deepEqual([batch % ends.length, Math.floor(batch / ends.length)], [rank, batchIdx]);
		}
	}
}

const alone = { world: 1, batchSize: 1 };
const aloneIn4 = { world: 1, batchSize: 4 };
const three = { world: 3, batchSize: 1 };
const threeIn4 = { world: 3, batchSize: 4 };

describe('batchProcess with onError "skip"', { timeout: 900_000 }, () => {
	// Rows: what fails, how, the records that are left out, by how many workers in which batches.
	const table: [string, BadRecords, number[], { world: number; batchSize: number }[]][] = [
		[
			"processBatch, at the first, the last, several of a batch",
			{ process: [0, 5, 6, 7, 29] },
			[0, 5, 6, 7, 29],
			[alone, aloneIn4, three, threeIn4],
		],
		[
			"get, collate and processBatch",
			{ process: [14], get: [3, 17], collate: [8, 29] },
			[3, 8, 14, 17, 29],
			[alone, threeIn4],
		],
		["processBatch once", { flaky: { 9: [1] } }, [], [alone, aloneIn4]],
		[
			"processBatch when it is tried again, before another",
			{ flaky: { 4: [2] }, process: [11, 18] },
			[11, 18],
			[aloneIn4, threeIn4],
		],
	];
	for (const [what, bad, failed, places] of table) {
		for (const { world, batchSize } of places) {
			it(`gives what the good records give where this fails: ${what}; world ${world}, batch size ${batchSize}`, async () => {
				const { trialId, ends } = await run(world, { records: 30, batchSize, checkpointInterval: 3, bad });
				await assertGood(trialId, ends, 30, failed);
				assertBatchIndices(ends, batchSize);
			});
		}
	}

	it("says of a record what was wrong with it, where and when", async () => {
		const { trialId, stderr } = await run(1, { records: 6, batchSize: 3, bad: { process: [4], get: [1] } });
		const [unread, unprocessed] = await client.getTrial(trialId).listErrors();
		assert.deepEqual(
			[unread?.record, unread?.rank, unread?.trialRunId, unread?.error],
			[1, 0, 1, "could not load record 1 of the data set: cannot read 1"],
		);
		assert.match(unread?.stack ?? "", /Caused by: Error: cannot read 1\n.*failing-worker/);
		assert.deepEqual([unprocessed?.record, unprocessed?.error], [4, "cannot process 4"]);
		assert.match(unprocessed?.stack ?? "", /^Error: cannot process 4\n.*failing-worker/);
		assert.match(stderr, /millrace: record 4 failed and is skipped: cannot process 4/);
	});

	it("keeps the processor where only loading failed, and makes another where processBatch did", async () => {
		const { ends } = await run(1, { records: 12, batchSize: 4, bad: { get: [1], collate: [2], process: [5] } });
		// One for all before record 5, one that tries it alone, one after it.
		assert.deepEqual(
			calls(ends[0] as WorkerEnd, "setup").map(({ processor }) => processor),
			[0, 1, 2],
		);
	});

	it("keeps nothing in memory of the processors that were replaced", async () => {
		const { ends } = await run(1, { records: 20, batchSize: 4, bad: { process: [1, 2, 5, 9, 13, 14] } });
		const [kept] = calls(ends[0] as WorkerEnd, "kept");
		// The one at work, and the last one before it at most, which a frame of the stack may still name.
		assert.ok((kept?.processor ?? 99) <= 2, `${kept?.processor} of ${calls(ends[0] as WorkerEnd, "setup").length}`);
	});

	it("fails where all records of a batch fail, as then none of them is at fault", async () => {
		const bad = { process: [4, 6, 7], get: [5] };
		const { trialId, ends, stderr } = await run(1, { records: 12, batchSize: 4, bad });
		assert.equal(ends[0]?.code, 1);
		assert.match(stderr, /each of the 4 records 4 to 7 failed alone too, .*: could not load record 5/);
		assert.deepEqual(await client.getTrial(trialId).listErrors(), []);
		// What came before the batch was committed.
		assert.equal((await client.getTrial(trialId)).progress, 4 / 12);
	});

	it("fails where more records fail than maxErrors permits, of all ranks and runs", async () => {
		const options = { records: 12, batchSize: 1, checkpointInterval: 1, maxErrors: 2 };
		const { trialId, ends, stderr } = await run(1, { ...options, bad: { process: [2, 5, 8] } });
		assert.equal(ends[0]?.code, 1);
		const message = /3 records of trial \d+ failed, and maxErrors permits 2; the last: record 8: cannot process 8/;
		assert.match(stderr, message);
		const failed = async () => (await client.getTrial(trialId).listErrors()).map(({ record }) => record);
		assert.deepEqual(await failed(), [2, 5]);
		const again = await run(2, { ...options, bad: { process: [2, 5, 8] } }, trialId);
		assert.match(again.stderr, message);
		assert.deepEqual(await failed(), [2, 5]);
		const { ends: last } = await run(2, { ...options, maxErrors: 3, bad: { process: [8] } }, trialId);
		await assertGood(trialId, last, 12, [2, 5, 8]);
	});

	for (const call of ["constructor", "setup", "onCheckpointStart", "onFinish"]) {
		it(`fails where ${call} throws, and says why`, async () => {
			const fail = { call, processor: 0, rank: 0 };
			const { trialId, stderr } = await run(1, { records: 12, batchSize: 2, fail });
			assert.match(stderr, new RegExp(`${call} threw, which onError "skip" does not cover, .*planted in ${call}`));
			assert.deepEqual(await client.getTrial(trialId).listErrors(), []);
			assert.equal((await client.getTrial(trialId)).state, "ACTIVE");
		});
	}

	it("fails where the setup of the processor throws that takes the place of another", async () => {
		const fail = { call: "setup", processor: 1, rank: 0 };
		const { stderr, ends } = await run(1, { records: 12, batchSize: 2, fail, bad: { process: [3] } });
		assert.equal(ends[0]?.code, 1);
		assert.match(stderr, /setup threw, which onError "skip" does not cover, .*planted in setup/);
	});

	for (const gather of ["setup", "onCheckpointStart", "processBatch"]) {
		it(`fails where ${gather} calls a collective operation, which another processor would call alone`, async () => {
			const options = { records: 12, batchSize: 2, checkpointInterval: 1, gather };
			const { trialId, stderr, ends } = await run(2, { ...options, bad: { process: [9] } });
			assert.match(stderr, /onError "skip" does not cover processors that call collective .*: cannot process 9/);
			assert.deepEqual(
				ends.map(({ code }) => code),
				[1, 1],
			);
			assert.deepEqual(await client.getTrial(trialId).listErrors(), []);
		});
	}

	it("goes on where a collective operation needs no other worker, or is called in onFinish alone", async () => {
		const bad = { process: [9] };
		const alone = await run(1, { records: 12, batchSize: 2, gather: "setup", bad });
		await assertGood(alone.trialId, alone.ends, 12, [9]);
		const atEnd = await run(2, { records: 12, batchSize: 2, gather: "onFinish", bad });
		await assertGood(atEnd.trialId, atEnd.ends, 12, [9]);
	});

	it("takes a full storage for no error of a record", async () => {
		const { trialId, ends, stderr } = await run(1, { records: 6, batchSize: 1, bad: { full: [2] } });
		assert.equal(ends[0]?.code, 1);
		assert.match(stderr, /the output storage is full/);
		assert.deepEqual(await client.getTrial(trialId).listErrors(), []);
	});

	it("takes the end of the run for no error of a record", async () => {
		const kill = { record: 2, attempt: 1, run: 1 };
		const { trialId, ends } = await run(2, { records: 12, batchSize: 2, kill, hold: 0 });
		assert.equal(ends[1]?.signal, "SIGKILL");
		assert.match(ends[0]?.stderr ?? "", /rank 1 on .* is lost/);
		assert.equal(calls(ends[0] as WorkerEnd, "setup").length, 1);
		assert.deepEqual(await client.getTrial(trialId).listErrors(), []);
		const { ends: last } = await run(1, { records: 12, batchSize: 4 }, trialId);
		await assertGood(trialId, last, 12, []);
	});

	// Where the worker dies: going again through what it had not committed, before, at and after the bad record 14.
	for (const [record, attempt] of [
		[1, 2],
		[13, 2],
		[14, 2],
		[15, 1],
	] as const) {
		it(`loses nothing where the worker is killed while it tries again: record ${record}, attempt ${attempt}`, async () => {
			const options = { records: 40, checkpointInterval: 4, bad: { process: [14, 30] } };
			const kill = { record, attempt, run: 1 };
			const { trialId, ends } = await run(1, { ...options, batchSize: 4, kill });
			assert.equal(ends[0]?.signal, "SIGKILL");
			const { ends: last } = await run(2, { ...options, batchSize: 3 }, trialId);
			await assertGood(trialId, last, 40, [14, 30]);
		});
	}

	// In the first attempt at the batch the first bad record throws, so the first attempt at these is alone.
	for (const [bad, record] of [
		[[1, 2], 4],
		[[1, 2], 3],
		[[1, 2, 3, 4], 3],
		[[0, 1, 2], 4],
	] as const) {
		it(`knows neighbours [${bad}] after a kill at record ${record} of their batch, with any batch size`, async () => {
			const options = { records: 10, batchSize: 5, bad: { process: bad } };
			const first = await run(1, { ...options, kill: { record, attempt: 1, run: 1 } });
			assert.equal(first.ends[0]?.signal, "SIGKILL");
			const { ends } = await run(2, { ...options, batchSize: 2 }, first.trialId);
			await assertGood(first.trialId, ends, 10, bad);
		});
	}

	it("gives the same dead letters where neighbours failed and are tried again without being mended", async () => {
		const options = { records: 10, batchSize: 5, bad: { process: [1, 2], get: [8, 9] } };
		const { trialId, ends } = await run(1, options);
		await assertGood(trialId, ends, 10, [1, 2, 8, 9]);
		assert.equal(await client.getTrial(trialId).retryErrors(), 4);
		const again = await run(3, options, trialId);
		await assertGood(trialId, again.ends, 10, [1, 2, 8, 9]);
	});

	it("tries the failed records again when it is asked to, and gives then what an undisturbed run gives", async () => {
		const bad = join(tempDir(), "bad.json");
		writeFileSync(bad, JSON.stringify({ process: [3, 11], get: [17] }));
		const options = { records: 20, batchSize: 4, checkpointInterval: 2, bad };
		const { trialId, ends } = await run(2, options);
		await assertGood(trialId, ends, 20, [3, 11, 17]);
		writeFileSync(bad, JSON.stringify({ process: [11] }));
		assert.equal(await client.getTrial(trialId).retryErrors(), 3);
		const second = await run(1, options, trialId);
		await assertGood(trialId, second.ends, 20, [11]);
		writeFileSync(bad, "{}");
		assert.equal(await client.getTrial(trialId).retryErrors(), 1);
		const third = await run(3, { ...options, onError: "fail" }, trialId);
		await assertGood(trialId, third.ends, 20, []);
	});
});
