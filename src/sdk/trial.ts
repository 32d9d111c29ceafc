import { randomUUID } from "node:crypto";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { TrialState as State, type Trial as TrialMessage } from "../gen/millrace/v1/trial_pb.js";
import type { AsyncList } from "./async-list.js";
import { type Checkpoint, checkpointList, type ListCheckpointsOptions } from "./checkpoint.js";
import type { Connection } from "./connection.js";
import type { Experiment } from "./experiment.js";
import type { FieldsOf } from "./fields.js";
import { fromJsonText, type JsonObject } from "./json.js";
import { type MetricsSummary, summarizeMetrics } from "./metric-summary.js";
import type { Pending } from "./pending.js";
import type { Session } from "./session.js";
import { type CreatedToken, createWorkerToken, type WorkerTokenOptions } from "./token.js";
import { type TrialActivity, type WatchOptions, watchTrial } from "./trial-activity.js";
import { errorList, type TrialError } from "./trial-errors.js";
import { type TrialLog, type TrialLogOptions, trialLogList } from "./trial-logs.js";
import { metricsOfTrials, type TrialMetrics, type TrialMetricsOptions } from "./trial-metrics.js";
import { downloadOutputs, outputList, type TrialOutput } from "./trial-outputs.js";
import {
	checkpointSource,
	type LinkedCheckpoint,
	type LinkedVersion,
	type LinkSource,
	versionSource,
} from "./trial-source.js";

/** The state of a trial. COMPLETED and CANCELED are final; a trial in ERROR can be activated, or joined again. */
export type TrialState = "UNSPECIFIED" | "ACTIVE" | "PAUSED" | "COMPLETED" | "CANCELED" | "ERROR";

/**
 * One job: a processor over a data set, with hyperparameters. From `client.getTrial`, `client.listTrials`
 * or `client.createTrial`.
 *
 * Python: Trial
 */
export class Trial {
	/** The id. */
	declare readonly id: number;
	/** The experiment that it belongs to. */
	declare readonly experimentId: number;
	/** The hyperparameters. */
	declare readonly hparams: JsonObject;
	/** The state. */
	declare readonly state: TrialState;
	/** For each metric group, for each metric: type, count, sum, min, max, mean and last. */
	declare readonly summaryMetrics: JsonObject;
	/**
	 * How far it is, from 0 to 1: the part of the records that is done, or has failed and was skipped; without batch
	 * processing, what its program reported.
	 */
	declare readonly progress: number;
	/** What its program said that it does; empty if nothing. */
	declare readonly status: string;
	/** What its program said of itself. */
	declare readonly metadata: JsonObject;
	/** How many of its runs failed. */
	declare readonly restarts: number;
	/** How many of its runs may fail before it does. */
	declare readonly maxRestarts: number;
	/** The number of the newest run, from 1; 0 before the first. */
	declare readonly trialRunId: number;
	/** When the trial was created. */
	declare readonly creationTime: Date;
	/** When it ended; null while it has not. */
	declare readonly endTime: Date | null;

	readonly #session: Session;
	#message: TrialMessage;

	/** @internal For the SDK's own use. */
	constructor(session: Session, message: TrialMessage) {
		this.#session = session;
		this.#message = message;
		Object.assign(this, fieldsOf(message));
	}

	/**
	 * Reads what was reported by the trial, in the order of runs and steps. Reports of a run that were never
	 * confirmed, and that a later run has replaced, are left out. With `follow` it goes on until the trial has ended,
	 * also across a restart of the server.
	 *
	 * @param group Only this metric group. Default, and "": all.
	 *
	 * Python: iter_metrics(group)
	 *
	 * @example
	 * ```ts
	 * import { client } from "millrace";
	 *
	 * for await (const { stepsCompleted, metrics } of client.getTrial(5).getMetrics("inference")) {
	 * 	console.log(stepsCompleted, metrics);
	 * }
	 * ```
	 */
	getMetrics<M extends JsonObject = JsonObject>(
		group?: string,
		options: TrialMetricsOptions = {},
	): AsyncList<TrialMetrics<M>> {
		return metricsOfTrials<M>(this.#session, "getMetrics", [this.id], group, options);
	}

	/**
	 * The same as getMetrics.
	 *
	 * Python: iter_metrics(group)
	 */
	iterMetrics<M extends JsonObject = JsonObject>(
		group?: string,
		options: TrialMetricsOptions = {},
	): AsyncList<TrialMetrics<M>> {
		return metricsOfTrials<M>(this.#session, "iterMetrics", [this.id], group, options);
	}

	/**
	 * Returns count, min, max, mean, sum and last of each metric of a group, computed by the server.
	 *
	 * Throws `invalid_argument` if the group is empty or has a dot.
	 */
	summarizeMetrics(group: string): Promise<MetricsSummary> {
		return summarizeMetrics(this.#session, { case: "trialId", value: this.id }, group);
	}

	/**
	 * Reads what the workers printed, in the order of its arrival at the server. With `follow` it goes on until the
	 * trial is COMPLETED, CANCELED or ERROR and the last lines have come; also when the server is started again.
	 *
	 * Reading throws `invalid_argument` for wrong options, for `head` together with `tail`, and for a regular expression
	 * that is none or takes seconds.
	 *
	 * Python: iter_logs(follow, head, tail, …)
	 *
	 * @example
	 * ```ts
	 * import { client } from "millrace";
	 *
	 * for await (const line of client.getTrial(5).iterLogs({ tail: 100 })) {
	 * 	console.log(line);
	 * }
	 * ```
	 */
	iterLogs(options: TrialLogOptions = {}): AsyncList<TrialLog> {
		return trialLogList(this.id, options, () => this.#session.connection());
	}

	/**
	 * Tells what the trial is doing, about once a second until it is COMPLETED, CANCELED or ERROR: how far and how fast it
	 * is, what each worker is at, and in plain words who is waited for. It goes on across a restart of the server, and also
	 * while the trial has no run or is PAUSED.
	 *
	 * Reading throws `invalid_argument` for wrong options, `not_found` if the trial is deleted meanwhile.
	 *
	 * @example
	 * ```ts
	 * import { client } from "millrace";
	 *
	 * for await (const { recordsDone, recordsTotal, recordsPerSecond, message } of client.getTrial(5).watch()) {
	 * 	console.log(`${recordsDone} of ${recordsTotal}, ${recordsPerSecond ?? 0} records/s: ${message}`);
	 * }
	 * ```
	 */
	watch(options: WatchOptions = {}): AsyncList<TrialActivity> {
		return watchTrial(this.#session, this.id, options);
	}

	/**
	 * Lists the checkpoints of the trial, the best first by the searcher's metric, and those without it after that, the
	 * newest first.
	 *
	 * Python: list_checkpoints(sort_by, order_by, max_results)
	 */
	listCheckpoints(options: ListCheckpointsOptions = {}): AsyncList<Checkpoint> {
		return checkpointList(this.#session, { trialId: this.id }, options);
	}

	/** Lists the committed output files in the order of their paths. */
	listOutputs(): AsyncList<TrialOutput> {
		return outputList(this.#session, this.id);
	}

	/**
	 * Copies the committed output files to a directory, under their paths, and returns the absolute paths of
	 * the copies. Of a file that is still growing only the committed part is copied. Every copy is verified
	 * by size and SHA-256 digest, and gets its name only when it is whole.
	 *
	 * Throws `failed_precondition` if the storage is not there, `data_loss` if a file in storage is
	 * corrupted, `not_found` if one is missing.
	 *
	 * @example
	 * ```ts
	 * import { client } from "millrace";
	 *
	 * const paths = await client.getTrial(5).downloadOutputs("outputs");
	 * console.log(paths);
	 * ```
	 */
	downloadOutputs(directory: string): Promise<string[]> {
		return downloadOutputs(this.#session, this.#message, directory);
	}

	/** Lists the records that failed and were skipped, in their order. */
	listErrors(): AsyncList<TrialError> {
		return errorList(this.#session, this.id);
	}

	/**
	 * Lets the next run process again what `listErrors` lists, and returns how many records that are. The trial,
	 * also one that is COMPLETED, is ACTIVE then; without such records it stays as it is. What it has computed is
	 * replaced when that run completes.
	 *
	 * Throws `failed_precondition` if a run is open, or the trial is canceled.
	 */
	async retryErrors(): Promise<number> {
		let count = 0;
		await this.#change(async (trials) => {
			const answer = await trials.retryTrialErrors({ requestId: randomUUID(), trialId: this.id });
			count = Number(answer.removedCount);
			return answer;
		});
		return count;
	}

	/** Asks the trial to stop at its next commit, to go on later. Without effect on one that has ended. */
	pause(): Promise<void> {
		return this.#change((trials) => trials.pauseTrial({ trialId: this.id }));
	}

	/**
	 * Lets a paused trial go on, and withdraws a request to pause.
	 *
	 * Throws `failed_precondition` if the trial is completed or canceled.
	 */
	activate(): Promise<void> {
		return this.#change((trials) => trials.activateTrial({ trialId: this.id }));
	}

	/**
	 * Ends the trial; its state is then CANCELED. Without effect on one that has ended.
	 *
	 * Python: kill()
	 */
	kill(): Promise<void> {
		return this.#change((trials) => trials.killTrial({ trialId: this.id }));
	}

	/**
	 * Links the trial to a checkpoint that it used, so that the checkpoint's metrics include the trial's. Needs no run,
	 * and works from anywhere. The UUID, a Checkpoint, or `client.getCheckpoint(uuid)` without awaiting it.
	 *
	 * Throws `not_found` if the checkpoint does not exist, `invalid_argument` if it is none.
	 *
	 * Python: report_task_using_checkpoint
	 */
	async reportTaskUsingCheckpoint(
		checkpoint: string | LinkedCheckpoint | PromiseLike<LinkedCheckpoint>,
	): Promise<void> {
		await this.#link(await checkpointSource(checkpoint));
	}

	/**
	 * Links the trial to a model version that it used, and to its checkpoint, so that the metrics of both include the
	 * trial's. Needs no run, and works from anywhere. `client.getModel(name).getVersion()` may be given without awaiting
	 * it.
	 *
	 * Throws `not_found` if the version does not exist, `invalid_argument` if it is none, or the model has none.
	 *
	 * Python: report_task_using_model_version
	 */
	async reportTaskUsingModelVersion(version: LinkedVersion | PromiseLike<LinkedVersion | null>): Promise<void> {
		await this.#link(await versionSource(version));
	}

	/**
	 * Makes a token for workers of the trial that another launcher starts; `millrace run` makes one for its own. With it in
	 * MILLRACE_TOKEN they read all, and write to this trial only. It ends an hour after its run, or after 30 days.
	 *
	 * Throws `failed_precondition` if the run is closed, or the server has no accounts; `not_found` if there is no such run.
	 */
	createWorkerToken(options: WorkerTokenOptions = {}): Promise<CreatedToken> {
		return createWorkerToken(this.#session, this.id, options);
	}

	/**
	 * Returns the experiment that the trial belongs to.
	 *
	 * Python: get_experiment()
	 */
	getExperiment(): Pending<Experiment> {
		return this.#session.getExperiment(this.experimentId);
	}

	/**
	 * Fetches the trial again and updates this object.
	 *
	 * Python: reload()
	 */
	reload(): Promise<void> {
		return this.#change((trials) => trials.getTrial({ trialId: this.id }));
	}

	async #link(source: LinkSource): Promise<void> {
		const { trials } = await this.#session.connection();
		await trials.reportTrialSourceInfo({ trialId: this.id, source });
	}

	async #change(call: (trials: Connection["trials"]) => Promise<{ trial?: TrialMessage | undefined }>): Promise<void> {
		const { trials } = await this.#session.connection();
		this.#message = (await call(trials)).trial as TrialMessage;
		Object.assign(this, fieldsOf(this.#message));
	}
}

/** Fetches a trial. Throws `not_found` if there is none with this id. */
export async function fetchTrial(session: Session, trialId: number): Promise<TrialMessage> {
	const { trials } = await session.connection();
	return (await trials.getTrial({ trialId })).trial as TrialMessage;
}

function fieldsOf(message: TrialMessage): FieldsOf<Trial> {
	return {
		id: message.id,
		experimentId: message.experimentId,
		hparams: message.hparams ?? {},
		state: State[message.state] as TrialState,
		summaryMetrics: fromJsonText(message.summaryMetricsJson || "{}") as JsonObject,
		progress: message.progress,
		status: message.status,
		metadata: message.metadata ?? {},
		restarts: message.restarts,
		maxRestarts: message.maxRestarts,
		trialRunId: message.trialRunId,
		creationTime: message.createTime ? timestampDate(message.createTime) : new Date(0),
		endTime: message.endTime ? timestampDate(message.endTime) : null,
	};
}
