import type { BatchProcessor } from "../runtime/batch-processor.js";
import type { JsonObject } from "../sdk/json.js";

/** A call of a processor's method. */
export type ProcessorCall =
	| {
			readonly call: "processBatch";
			readonly batchIdx: number;
			/** The number of records in the batch. */
			readonly size: number;
			/** The records of the batch, ascending. */
			readonly indices: readonly number[];
	  }
	| { readonly call: "onCheckpointStart" }
	| {
			readonly call: "onFinish";
			/** The reducers' results. */
			readonly results: JsonObject;
	  };

/** Returns the processor with its calls written down, in their order, whether or not it has the methods. */
export function recordedProcessor<B>(processor: BatchProcessor<B>, calls: ProcessorCall[]): BatchProcessor<B> {
	return {
		context: processor.context,
		setup: () => processor.setup?.(),
		processBatch: (batch, batchIdx, info) => {
			const { indices } = info;
			calls.push({ call: "processBatch", batchIdx, size: indices.length, indices });
			return processor.processBatch(batch, batchIdx, info);
		},
		onCheckpointStart: () => {
			calls.push({ call: "onCheckpointStart" });
			return processor.onCheckpointStart?.();
		},
		onFinish: (results) => {
			calls.push({ call: "onFinish", results });
			return processor.onFinish?.(results);
		},
	};
}
