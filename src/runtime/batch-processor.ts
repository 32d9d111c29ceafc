import type { JsonObject } from "../sdk/json.js";
import type { BatchProcessorContext } from "./processor-context.js";

/** What processBatch is told about its batch. */
export interface BatchInfo {
	/** The records of the batch, ascending; where a run was resumed they need not follow each other. */
	readonly indices: readonly number[];
	/** Aborted when the worker is to stop at once. */
	readonly signal: AbortSignal;
}

/**
 * What is done with every batch of a data set; extend it and give the class to `batchProcess`. One object
 * is made per worker. Python: TorchBatchProcessor
 *
 * @example
 * ```ts
 * import { appendFile } from "node:fs/promises";
 * import { join } from "node:path";
 * import { type BatchInfo, BatchProcessor } from "millrace/runtime";
 *
 * class Doubler extends BatchProcessor<number[][]> {
 * 	readonly #model = this.context.prepareModelForInference("double.onnx");
 * 	#lines: string[] = [];
 *
 * 	override async processBatch(batch: number[][], batchIdx: number, { indices }: BatchInfo) {
 * 		const { y } = await this.#model.run(this.context.toDevice(batch));
 * 		this.#lines.push(`${indices}: ${y?.data}\n`);
 * 		await this.context.reportMetrics("inference", { batchIdx, records: batch.length });
 * 	}
 *
 * 	override async onCheckpointStart() {
 * 		await this.context.uploadPath((directory) => appendFile(join(directory, "doubled.txt"), this.#lines.join("")));
 * 		this.#lines = [];
 * 	}
 * }
 * ```
 */
export abstract class BatchProcessor<B = unknown> {
	/** What a processor works with: models, tensors, metrics, outputs. */
	readonly context: BatchProcessorContext;

	/** Models may be prepared here or in field initialisers; what is asynchronous belongs in `setup`. */
	constructor(context: BatchProcessorContext) {
		this.context = context;
	}

	/** Called once, before the first batch; afterwards the models prepared until then are awaited. */
	setup?(): void | Promise<void>;

	/**
	 * Processes one batch. What it keeps in memory is not committed: write it by the end of
	 * onCheckpointStart. Python: process_batch
	 *
	 * @param batch What the data loader's `collate` made; by default an array of the records.
	 * @param batchIdx The batches of this worker before this one; it goes on where an earlier run stopped.
	 */
	abstract processBatch(batch: B, batchIdx: number, info: BatchInfo): void | Promise<void>;

	/** Called on every worker before what it did is committed, also when it had no batch. Python: on_checkpoint_start */
	onCheckpointStart?(): void | Promise<void>;

	/**
	 * Called once on every worker after all data, with the reducers' results. Python: on_finish
	 *
	 * After a crash in the end it may be called again in the next run; its reports and outputs count once.
	 */
	onFinish?(results: JsonObject): void | Promise<void>;
}
