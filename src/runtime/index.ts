/**
 * The runtime: what a worker script imports, to run a processor over a data set together with other workers.
 *
 * @module millrace/runtime
 */

export type { ErrorCode } from "../errors.js";
export { isMillraceError, MillraceError } from "../errors.js";
export type { JsonObject, JsonValue } from "../sdk/json.js";
export { type BatchProcessOutcome, type BatchProcessorClass, batchProcess } from "./batch-process.js";
export type { BatchProcessOptions, OnError } from "./batch-process-options.js";
export { type BatchInfo, BatchProcessor } from "./batch-processor.js";
export type {
	CheckpointContext,
	FetchOptions,
	FileSelector,
	StorePathOptions,
	UploadOptions,
} from "./core/checkpoint-context.js";
export { core } from "./core/core.js";
export type { CoreContext, CoreInfo } from "./core/core-context.js";
export type { CoreOptions } from "./core/core-options.js";
export type { ExperimentalContext } from "./core/experimental-context.js";
export type { DownloadMode } from "./core/fetch-files.js";
export type { CoreCallback } from "./core/init.js";
export type { PreemptContext, PreemptMode } from "./core/preempt-context.js";
export type { TrainContext } from "./core/train-context.js";
export type { DataLoaderOptions } from "./data-loader.js";
export type { Dataset } from "./dataset.js";
export { DistributedContext } from "./distributed/distributed-context.js";
export type { WorkerPlace } from "./distributed/environment.js";
export type { InferenceModel, ModelInput, PrepareModelOptions } from "./inference-model.js";
export type { FunctionReducer, MetricReducer, ReducerFunction, WrapReducerOptions } from "./metric-reducer.js";
export type { ModelSource } from "./model-source.js";
export type { DatasetSource } from "./open-dataset.js";
export type { BatchProcessorContext, RunInfo } from "./processor-context.js";
export { type Tensor, type TensorType, type ToTensorOptions, tensor } from "./tensor.js";
