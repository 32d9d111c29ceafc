import { ErrorPolicy, type RecordRange } from "../gen/millrace/v1/progress_pb.js";
import { openStorage } from "../storage/open-storage.js";
import type { BatchProcessSettings } from "./batch-process-options.js";
import type { Dataset } from "./dataset.js";
import type { JoinedRun } from "./join-run.js";
import { type RecordSpan, type Shard, shard } from "./sharding.js";
import { openTrialDirectory } from "./trial-directory.js";

/** What a worker has to do in this run. */
export interface Work {
	/** This worker's share of what is left. */
	readonly shard: Shard;
	/** The index of the worker's first batch, and the number of steps that earlier runs have committed. */
	readonly baseStep: number;
	/** The trial's directory of output files, which exists. */
	readonly trialDirectory: string;
}

/**
 * Asks the server what is left of the data set, and makes the trial's directory of output files.
 *
 * Throws `failed_precondition` if an earlier run of the trial was over other data, another worker of this
 * run has other options, or the trial's storage is not there, or not shared by all nodes.
 */
export async function beginWork<T>(
	run: JoinedRun,
	dataset: Dataset<T>,
	settings: Omit<BatchProcessSettings<T, unknown>, "dataLoader">,
): Promise<Work> {
	const { batchSize, checkpointInterval, maxBatches, maxErrors } = settings;
	const { rank, size } = settings.distributed;
	if (rank === 0 && maxBatches * batchSize * size >= dataset.length + batchSize * size) {
		const most = Math.ceil(Math.ceil(dataset.length / batchSize) / size);
		console.warn(`millrace: maxBatches is ${maxBatches}, but a worker has ${most} batches at most; it is ignored`);
	}
	const begun = await run.connection.progress.beginProgress({
		member: run.member,
		plan: {
			recordCount: BigInt(dataset.length),
			dataVersion: dataset.version ?? "",
			maxBatches: BigInt(maxBatches),
		},
		options: {
			batchSize,
			checkpointInterval,
			onError: settings.onError === "skip" ? ErrorPolicy.SKIP : ErrorPolicy.FAIL,
			...(maxErrors !== undefined && { maxErrors: BigInt(maxErrors) }),
		},
	});
	const left = begun.left.map(toSpan);
	const alone = begun.alone.map(toSpan);
	return {
		shard: shard({ left, alone, batchSize, rank, size }),
		baseStep: begun.baseStep,
		trialDirectory: await openTrialDirectory(run, openStorage(begun.storage), begun.outputUuid, settings.distributed),
	};
}

function toSpan({ first, end }: RecordRange): RecordSpan {
	return { first: Number(first), end: Number(end) };
}
