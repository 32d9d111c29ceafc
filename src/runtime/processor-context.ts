import { mkdir } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { JsonObject, JsonValue } from "../sdk/json.js";
import { toMetricsJson } from "../sdk/json.js";
import { assertMetricGroup } from "../sdk/metric-group.js";
import { type ReportMetricsOptions, reportSource } from "../sdk/report-metrics-options.js";
import {
	checkpointSource,
	type LinkedCheckpoint,
	type LinkedVersion,
	type LinkSource,
	versionSource,
} from "../sdk/trial-source.js";
import type { DistributedContext } from "./distributed/distributed-context.js";
import { InferenceModel, type PrepareModelOptions } from "./inference-model.js";
import type { FunctionReducer, MetricReducer, ReducerFunction, WrapReducerOptions } from "./metric-reducer.js";
import type { ModelSource } from "./model-source.js";
import { outputError } from "./output-error.js";
import type { Part } from "./part.js";
import { assertStepsCompleted } from "./steps-completed.js";
import { type Tensor, type ToTensorOptions, toTensor } from "./tensor.js";

/** What a run is part of. Python: `det.get_cluster_info()` */
export interface RunInfo {
	readonly trialId: number;
	/** The number of the run within its trial, from 1. */
	readonly trialRunId: number;
	readonly experimentId: number;
	/** The experiment's configuration; its `data` is the user's. */
	readonly config: JsonObject;
	readonly hparams: JsonObject;
	/** The UUID of the trial's latest stored checkpoint; null for batchProcess, which stores none. */
	readonly latestCheckpoint: string | null;
}

/**
 * What a processor works with. Everything that it reports or writes becomes part of the trial with the next
 * commit, or not at all.
 *
 * Python: `TorchBatchProcessorContext`
 */
export class BatchProcessorContext {
	/** Which worker this is, and what the workers tell each other. */
	readonly distributed: DistributedContext;
	/** What this run is part of. */
	readonly info: RunInfo;
	/** The ONNX Runtime execution provider that models run on. */
	readonly device = "cpu";
	readonly #part: Part;
	readonly #profile: boolean;
	readonly #warned = new Set<string>();

	/** @internal For the runtime's own use. */
	constructor(part: Part, options: { distributed: DistributedContext; info: RunInfo; profile: boolean }) {
		this.#part = part;
		this.distributed = options.distributed;
		this.info = options.info;
		this.#profile = options.profile;
	}

	/** Returns the trial's hyperparameters. Python: `get_hparams` */
	getHparams<H extends object = JsonObject>(): H {
		return structuredClone(this.info.hparams) as H;
	}

	/** Returns this worker's rank. Python: `get_distributed_rank` */
	getDistributedRank(): number {
		return this.distributed.rank;
	}

	/** Returns the number of workers. Python: `get_distributed_size` */
	getDistributedSize(): number {
		return this.distributed.size;
	}

	/**
	 * Makes tensors of numbers, (nested) arrays and typed arrays, and records of tensors of records of these.
	 * Anything else comes back as it is, with one warning for each type.
	 *
	 * Throws `invalid_argument` if the values do not fit `dims`, `type` or each other.
	 *
	 * Python: `to_device`
	 */
	toDevice<K extends string>(data: Record<K, unknown>, options?: ToTensorOptions): Record<K, Tensor>;
	toDevice(data: unknown, options?: ToTensorOptions): Tensor;
	toDevice(data: unknown, options: ToTensorOptions = {}): unknown {
		const unconvertible = (value: unknown) => {
			const type = value === null ? "null" : typeof value === "object" ? value.constructor?.name : typeof value;
			if (!this.#warned.has(String(type))) {
				this.#warned.add(String(type));
				console.warn(`millrace: toDevice cannot make a tensor of a value of type ${type}; it is returned as it is`);
			}
			return value;
		};
		return toTensor(data, options, unconvertible);
	}

	/**
	 * Loads a model in a thread of its own and returns it at once; the runtime waits for it after setup.
	 *
	 * @param source The path or the bytes of an ONNX file, or a checkpoint or model version that holds one.
	 *
	 * Python: `prepare_model_for_inference`
	 */
	prepareModelForInference(source: ModelSource, options: PrepareModelOptions = {}): InferenceModel {
		const threads = options.threads ?? this.#defaultThreads();
		const profile = options.profile ?? this.#profile;
		const profileDirectory = profile ? this.getTensorboardPath() : undefined;
		const model = new InferenceModel(source, { ...options, threads, profileDirectory });
		this.#part.addModel(model);
		return model;
	}

	/**
	 * Gives `write` a directory that belongs to this worker, and keeps the files that it writes there with the
	 * next commit. A file may grow later, but what was committed of it may not change.
	 *
	 * Throws what `write` throws; `resource_exhausted` or `permission_denied`, with the file and what to do, where
	 * that says that the storage is full or cannot be written.
	 *
	 * Python: `upload_path`
	 */
	uploadPath<R>(write: (directory: string) => R | Promise<R>): Promise<R> {
		const upload = async () => {
			const directory = await this.#part.outputs.directory();
			try {
				return await write(directory);
			} catch (error) {
				throw outputError(error, directory);
			}
		};
		return this.#part.pending.track(upload());
	}

	/**
	 * Reports metrics of this worker. Without `stepsCompleted` the step is that of the batch in process,
	 * batchIdx + 1. What goes wrong and is not awaited surfaces at the next commit.
	 *
	 * With `checkpoint` or `modelVersion`, for a run that uses several, the report counts for that alone, and the trial
	 * is linked to it.
	 *
	 * Throws `invalid_argument` if the group is empty or has a dot, or the metrics are not JSON.
	 *
	 * Python: `report_metrics`
	 */
	reportMetrics(group: string, metrics: JsonObject, options?: ReportMetricsOptions): Promise<void>;
	reportMetrics(
		group: string,
		stepsCompleted: number,
		metrics: JsonObject,
		options?: ReportMetricsOptions,
	): Promise<void>;
	reportMetrics(group: string, ...rest: MetricArguments): Promise<void> {
		const [stepsCompleted, metrics, options] = hasSteps(rest) ? rest : [this.#part.step, ...rest];
		assertMetricGroup(group);
		assertStepsCompleted(stepsCompleted);
		const metricsJson = toMetricsJson(metrics);
		if (options === undefined) {
			return this.#part.report(group, stepsCompleted, metricsJson);
		}
		const report = async () => {
			await this.#part.report(group, stepsCompleted, metricsJson, await reportSource(options));
		};
		return this.#part.pending.track(report());
	}

	/**
	 * Links this run's trial to the model version that it uses, so that the version's metrics include the
	 * trial's. The runtime waits for it after setup. `client.getModel(name).getVersion()` may be given without
	 * awaiting it.
	 *
	 * Throws `invalid_argument` if the model has no version.
	 *
	 * Python: `report_task_using_model_version`
	 */
	reportTaskUsingModelVersion(version: LinkedVersion | PromiseLike<LinkedVersion | null>): Promise<void> {
		return this.#link(() => versionSource(version));
	}

	/**
	 * Links this run's trial to the checkpoint that it uses, given itself or as its UUID, so that the checkpoint's
	 * metrics include the trial's. The runtime waits for it after setup.
	 *
	 * Python: `report_task_using_checkpoint`
	 */
	reportTaskUsingCheckpoint(checkpoint: string | LinkedCheckpoint | PromiseLike<LinkedCheckpoint>): Promise<void> {
		return this.#link(() => checkpointSource(checkpoint));
	}

	/**
	 * Adds a reducer, whose result over all workers and all runs is reported when all is done. All workers
	 * have to add the same ones in the same order. A function gets all values in data set order, and is fed
	 * through the `update` of what is returned.
	 *
	 * With the option `name` its result is that one metric, and may not be an object. Without, its result must
	 * be an object of metrics by name; as it is known only when all is done, another one fails the run then.
	 *
	 * Python: `wrap_reducer`
	 */
	wrapReducer<P extends JsonValue, R extends MetricReducer<P>>(
		reducer: R & MetricReducer<P>,
		options?: WrapReducerOptions,
	): R;
	wrapReducer<V extends JsonValue>(reducer: ReducerFunction<V>, options?: WrapReducerOptions): FunctionReducer<V>;
	wrapReducer(reducer: MetricReducer & ReducerFunction, options?: WrapReducerOptions): unknown {
		return this.#part.reducers.wrap(reducer, options);
	}

	/** Returns this worker's directory for traces, which is kept with the outputs. Python: `get_tensorboard_path` */
	async getTensorboardPath(): Promise<string> {
		const directory = join(await this.#part.outputs.directory(), "tensorboard");
		await mkdir(directory, { recursive: true });
		return directory;
	}

	#defaultThreads(): number {
		return Math.max(1, Math.floor(availableParallelism() / this.distributed.localSize));
	}

	#link(sourceOf: () => Promise<LinkSource>): Promise<void> {
		const { connection, member } = this.#part.run;
		const link = async () => {
			const source = await sourceOf();
			await connection.trials.reportTrialSourceInfo({ trialId: member.trialId, source });
		};
		return this.#part.pending.track(link());
	}
}

/** What follows the group in a call of reportMetrics. */
type MetricArguments =
	| [metrics: JsonObject, options?: ReportMetricsOptions | undefined]
	| [stepsCompleted: number, metrics: JsonObject, options?: ReportMetricsOptions | undefined];

/** Tells whether what follows the group begins with the steps: metrics alone are no number. */
function hasSteps(rest: MetricArguments): rest is Extract<MetricArguments, [number, ...unknown[]]> {
	return rest.length > 1 && typeof rest[0] !== "object";
}
