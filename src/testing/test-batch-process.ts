import { join } from "node:path";
import { assertProcessor } from "../runtime/assert-processor.js";
import { type BatchProcessorClass, processTrial } from "../runtime/batch-process.js";
import type { BatchProcessSettings } from "../runtime/batch-process-options.js";
import type { DataLoaderOptions } from "../runtime/data-loader.js";
import { toDataset } from "../runtime/dataset.js";
import type { DatasetSource } from "../runtime/open-dataset.js";
import type { BatchProcessorContext } from "../runtime/processor-context.js";
import { Client } from "../sdk/client.js";
import type { JsonObject } from "../sdk/json.js";
import { type ProcessorCall, recordedProcessor } from "./recorded-processor.js";
import { startTemporaryServer, type TemporaryServer } from "./temporary-server.js";
import { checkTestOptions, type TestBatchProcessOptions } from "./test-options.js";
import { type BatchProcessTest, readResult } from "./test-result.js";
import { testedWorker } from "./tested-worker.js";

/** The options, which must have a `collate` where the processor's batches are no arrays of records. */
type OptionsFor<T, B> = T[] extends B
	? [options?: TestBatchProcessOptions<T, B>]
	: [
			options: TestBatchProcessOptions<T, B> & {
				readonly dataLoader: { readonly collate: NonNullable<DataLoaderOptions<T, B>["collate"]> };
			},
		];

/**
 * Tests a processor: runs it over small data as `batchProcess` does, with all its workers in this process, and a
 * temporary server that is gone when it returns. The environment says nothing to it, and it leaves nothing behind, so
 * that tests may call it at once and one after the other, under any test runner.
 *
 * Throws the processor's own error if it fails, and what `batchProcess` throws; `invalid_argument` for options that a
 * test cannot have; `failed_precondition` if the server does not start, as where sqlite3 is not installed.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { BatchProcessor } from "millrace/runtime";
 * import { testBatchProcess } from "millrace/testing";
 *
 * class Doubler extends BatchProcessor<number[]> {
 * 	override processBatch(batch: number[]) {
 * 		return this.context.reportMetrics("inference", { doubled: batch.map((value) => value * 2) });
 * 	}
 * }
 *
 * const { trial, calls, metrics } = await testBatchProcess(Doubler, [1, 2, 3], { worldSize: 2, batchSize: 2 });
 * assert.equal(trial.state, "COMPLETED");
 * assert.equal(calls[0]?.length, 3); // processBatch, onCheckpointStart, onFinish
 * assert.deepEqual(metrics("inference").map((report) => report.metrics.doubled), [[2, 4], [6]]);
 * ```
 */
export async function testBatchProcess<T, B = T[]>(
	Processor: BatchProcessorClass<B>,
	data: DatasetSource<T>,
	...[options = {} as TestBatchProcessOptions<T, B>]: OptionsFor<T, B>
): Promise<BatchProcessTest> {
	const settings = checkTestOptions(options);
	assertProcessor(Processor);
	if (typeof data !== "function") {
		toDataset(data);
	}
	// Workers that wait for each other would let a process end that has nothing else to do.
	const alive = setInterval(() => {}, 60_000);
	try {
		const server = await startTemporaryServer();
		try {
			return await runOn(server, Processor, data, settings);
		} finally {
			await server.stop();
		}
	} finally {
		clearInterval(alive);
	}
}

async function runOn<T, B>(
	server: TemporaryServer,
	Processor: BatchProcessorClass<B>,
	data: DatasetSource<T>,
	settings: readonly BatchProcessSettings<T, B>[],
): Promise<BatchProcessTest> {
	const client = new Client({ server: server.address, tls: false });
	try {
		const trialId = await createTrial(client, Processor.name, settings[0]?.hparams);
		const calls: ProcessorCall[][] = settings.map(() => []);
		const workers = settings.map((own, rank) => {
			const worker = testedWorker(trialId);
			const make = (context: BatchProcessorContext) =>
				recordedProcessor(new Processor(context), calls[rank] as ProcessorCall[]);
			const ended = processTrial(make, data, { ...own, server: server.address, tls: false }, worker);
			return { ended, isAborted: () => worker.isAborted };
		});
		await allDone(workers);
		return await readResult(await client.getTrial(trialId), calls, join(server.directory, "outputs"));
	} finally {
		await client.close();
	}
}

async function createTrial(client: Client, name: string, hparams: JsonObject = {}): Promise<number> {
	const config = { name: name || "test", entrypoint: "testBatchProcess", max_restarts: 0 };
	const experiment = await client.createExperiment(config);
	return (await client.createTrial(experiment.id, { hparams, maxRestarts: 0 })).id;
}

interface EndingWorker {
	readonly ended: Promise<unknown>;
	isAborted(): boolean;
}

/** How long the others may take to notice that one has failed, in milliseconds: user code may hang. */
const patienceMs = 5_000;

/** Waits for all workers. Throws the error of the one that is at fault. */
async function allDone(workers: readonly EndingWorker[]): Promise<void> {
	const failures: { error: unknown; isAborted: boolean }[] = [];
	const ends = workers.map(({ ended, isAborted }) =>
		ended.catch((error: unknown) => {
			failures.push({ error, isAborted: isAborted() });
			throw error;
		}),
	);
	const all = Promise.allSettled(ends);
	await Promise.all(ends).catch(async () => {
		let timer: NodeJS.Timeout | undefined;
		const patience = new Promise((resolve) => {
			timer = setTimeout(resolve, patienceMs);
		});
		await Promise.race([all, patience]);
		clearTimeout(timer);
	});
	const [failure] = failures.toSorted((a, b) => Number(a.isAborted) - Number(b.isAborted));
	if (failure !== undefined) {
		throw failure.error;
	}
}
