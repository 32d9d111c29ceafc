import { atStep } from "../steps.js";
import { assertProcessor } from "./assert-processor.js";
import { type BatchProcessOptions, type BatchProcessSettings, checkOptions } from "./batch-process-options.js";
import type { BatchProcessor } from "./batch-processor.js";
import { BatchRunner } from "./batch-runner.js";
import { beginWork, type Work } from "./begin-work.js";
import { type DataLoaderOptions, loadBatch, loadBatches } from "./data-loader.js";
import { type Dataset, toDataset } from "./dataset.js";
import { enterRun } from "./enter-run.js";
import type { JoinedRun } from "./join-run.js";
import { oncePerTrial } from "./once-per-trial.js";
import { type DatasetSource, openDataset } from "./open-dataset.js";
import type { Part } from "./part.js";
import { BatchProcessorContext } from "./processor-context.js";
import { reduceAll } from "./reduce-all.js";
import { ReplaceableProcessor } from "./replaceable-processor.js";
import { finishBarrier, stepBarrier } from "./run-barriers.js";
import { sweepIfFenced, sweepRun } from "./sweep-run.js";
import { ownProcess, type WorkerProcess } from "./worker-process.js";

/** The class of a processor. */
export type BatchProcessorClass<B> = new (context: BatchProcessorContext) => BatchProcessor<B>;

/** How batchProcess ended. */
export interface BatchProcessOutcome {
	/** `completed`: all work of the trial is done. `preempted`: this run committed and stopped; a later one goes on. */
	readonly status: "completed" | "preempted";
	readonly trialId: number;
	/** The number of the run within its trial, from 1. */
	readonly trialRunId: number;
}

/** The options, which must have a `collate` where the processor's batches are no arrays of records. */
type OptionsFor<T, B> = T[] extends B
	? [options?: BatchProcessOptions<T, B>]
	: [
			options: BatchProcessOptions<T, B> & {
				readonly dataLoader: { readonly collate: NonNullable<DataLoaderOptions<T, B>["collate"]> };
			},
		];

/**
 * Runs a processor over a whole data set, in batches, together with the other workers of the run. Every
 * record is processed and counted exactly once in what is committed, whatever dies on the way; a later run
 * of the same trial goes on with what is left. A trial is one data set: where MILLRACE_TRIAL_ID names it, as under
 * `millrace run`, a process calls this once. Without it, each call makes a trial of its own.
 *
 * Throws `invalid_argument` for a class without processBatch, for what is no data set and for wrong options,
 * `failed_precondition` if the trial does not permit a run, was started over other data, or is that of an earlier
 * call in this process that went well or is under way, `aborted` if
 * another worker is lost (the message names its rank, its host and how far it was), and whatever the
 * processor throws.
 *
 * Python: `torch_batch_process`
 *
 * @example
 * ```ts
 * import { BatchProcessor, batchProcess } from "millrace/runtime";
 *
 * class Lengths extends BatchProcessor<string[]> {
 * 	override async processBatch(batch: string[]) {
 * 		await this.context.reportMetrics("inference", { lengths: batch.map((text) => text.length) });
 * 	}
 * }
 *
 * const { status, trialId } = await batchProcess(Lengths, ["one", "two", "three"], { batchSize: 2 });
 * console.log(status, trialId);
 * ```
 */
export async function batchProcess<T, B = T[]>(
	Processor: BatchProcessorClass<B>,
	source: DatasetSource<T>,
	...[options = {} as BatchProcessOptions<T, B>]: OptionsFor<T, B>
): Promise<BatchProcessOutcome> {
	const settings = checkOptions(options);
	assertProcessor(Processor);
	if (typeof source !== "function") {
		// Before a trial is recorded for nothing.
		toDataset(source);
	}
	const make = (context: BatchProcessorContext) => new Processor(context);
	return oncePerTrial("batchProcess", async () => processTrial(make, source, settings, ownProcess()));
}

/** Makes a processor of its context. */
export type MakeProcessor<B> = (context: BatchProcessorContext) => BatchProcessor<B>;

/** Does the work of a worker, whatever process it is in. */
export async function processTrial<T, B>(
	make: MakeProcessor<B>,
	source: DatasetSource<T>,
	settings: BatchProcessSettings<T, B>,
	workerProcess: WorkerProcess,
): Promise<BatchProcessOutcome> {
	const entered = await enterRun(settings, workerProcess);
	if (entered.kind === "finished") {
		return { status: "completed", trialId: entered.trialId, trialRunId: entered.trialRunId };
	}
	const { run } = entered;
	let trialDirectory: string | undefined;
	try {
		const dataset = await openDataset(source, run.rendezvous, settings.distributed);
		const work = await beginWork(run, dataset, settings);
		trialDirectory = work.trialDirectory;
		const status = await processAll(make, run, dataset, work, settings);
		if (status === "preempted") {
			workerProcess.tellPreempted();
		}
		const { trialId, trialRunId } = run.member;
		return { status, trialId, trialRunId };
	} catch (error) {
		const cause = await entered.fail(error);
		if (trialDirectory !== undefined) {
			await sweepIfFenced(run, trialDirectory);
		}
		throw cause;
	} finally {
		await entered.close();
	}
}

async function processAll<T, B>(
	makeProcessor: MakeProcessor<B>,
	run: JoinedRun,
	dataset: Dataset<T>,
	work: Work,
	settings: BatchProcessSettings<T, B>,
): Promise<BatchProcessOutcome["status"]> {
	const { trialDirectory, baseStep } = work;
	const { dataLoader, distributed, onError } = settings;
	await sweepRun(run, trialDirectory);
	const make = (part: Part) => makeProcessor(contextOf(part, settings));
	const current = new ReplaceableProcessor({ run, trialDirectory, baseStep, onError, make });
	const load = (indices: readonly number[]) => loadBatch(dataset, indices, dataLoader.collate);
	const runner = new BatchRunner({ current, onError, distributed, load });
	try {
		await current.start();
		if (await processSteps(runner, run, dataset, work, settings)) {
			return "preempted";
		}

		const { results, groups } = await reduceAll(current.part);
		await current.finish(results);
		atStep("end.finish-commit-answered");
		await finishBarrier(run.rendezvous, groups);
		await sweepRun(run, trialDirectory);
		atStep("end.swept");
		return "completed";
	} finally {
		await current.close();
	}
}

/** Processes this worker's share, and commits it step by step. Returns whether the run was preempted. */
async function processSteps<T, B>(
	runner: BatchRunner<B>,
	{ rendezvous }: JoinedRun,
	dataset: Dataset<T>,
	{ shard }: Work,
	{ checkpointInterval, dataLoader }: BatchProcessSettings<T, B>,
): Promise<boolean> {
	const batches = loadBatches(dataset, shard.batches(), dataLoader);
	try {
		for (let step = 1; step <= shard.stepCount; step++) {
			const { value: batch } = await batches.next();
			// In the last step there may be no batch left for this worker, which commits with the others all the same.
			if (batch) {
				await runner.process(batch);
			}
			const isLast = step === shard.stepCount;
			if (isLast || step % checkpointInterval === 0) {
				await runner.commit(isLast);
				if (await stepBarrier(rendezvous, isLast)) {
					return true;
				}
			}
		}
		return false;
	} finally {
		await batches.return();
	}
}

function contextOf(
	part: Part,
	settings: Pick<BatchProcessSettings<unknown, unknown>, "distributed" | "hparams" | "profile">,
): BatchProcessorContext {
	const { trial, config, member } = part.run;
	const info = {
		trialId: trial.id,
		trialRunId: member.trialRunId,
		experimentId: trial.experimentId,
		config,
		hparams: { ...settings.hparams, ...trial.hparams },
		latestCheckpoint: null,
	};
	return new BatchProcessorContext(part, { distributed: settings.distributed, info, profile: settings.profile });
}
