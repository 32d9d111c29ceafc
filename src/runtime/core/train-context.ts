import { randomUUID } from "node:crypto";
import { MillraceError } from "../../errors.js";
import { type JsonObject, toJsonObject, toJsonText, toMetricsJson } from "../../sdk/json.js";
import { assertMetricGroup } from "../../sdk/metric-group.js";
import { MetricReporter } from "../../sdk/metric-reporter.js";
import { type ReportMetricsOptions, reportSource } from "../../sdk/report-metrics-options.js";
import { shown } from "../../sdk/shown.js";
import type { JoinedRun } from "../join-run.js";
import type { PendingWork } from "../pending-work.js";
import { assertStepsCompleted } from "../steps-completed.js";
import { LatestWrite } from "./latest-write.js";

/** The most reports that may wait for the server, and the most characters of their JSON. */
const largestQueue = { reports: 100_000, characters: 64 * 1024 * 1024 };

/**
 * Reports of what a script has computed, and how far it is. Every method sends at once and resolves when the server has
 * it; none needs to be awaited. What then goes wrong surfaces once: at the next report, or at the end of the run.
 *
 * Every worker may report. A report carries the rank of its worker, and those of several ranks for the same step stand
 * side by side, so report what is one number for all of them from the chief only.
 *
 * Python: `TrainContext`
 */
export class TrainContext {
	readonly #run: JoinedRun;
	readonly #pending: PendingWork;
	readonly #assertOpen: () => void;
	readonly #reporter: MetricReporter;
	readonly #progress: LatestWrite<number>;
	readonly #status: LatestWrite<string>;
	readonly #metadata: LatestWrite<JsonObject>;
	#waitingReports = 0;
	#waitingCharacters = 0;

	/** @internal For the runtime's own use. */
	constructor(run: JoinedRun, pending: PendingWork, assertOpen: () => void) {
		this.#run = run;
		this.#pending = pending;
		this.#assertOpen = assertOpen;
		const { metrics, trials } = run.connection;
		const { trialId, trialRunId } = run.member;
		this.#reporter = new MetricReporter(metrics);
		this.#progress = new LatestWrite((progress) => trials.reportTrialProgress({ trialId, trialRunId, progress }));
		this.#status = new LatestWrite((status) => trials.setTrialStatus({ trialId, trialRunId, status }));
		this.#metadata = new LatestWrite((set) =>
			trials.updateTrialMetadata({ requestId: randomUUID(), trialId, metadata: { clear: true, set } }),
		);
	}

	/**
	 * Reports metrics of any group.
	 *
	 * @param stepsCompleted How many steps the script has completed: the place of the metrics in time.
	 * @param options The `checkpoint` or `modelVersion` that the report is about, for a script that uses several: it then
	 * counts for that alone, and the trial is linked to it.
	 *
	 * Throws `invalid_argument` if the group is empty or has a dot, or the metrics are not a JSON object; `already_exists`
	 * if this worker has reported another value for the same step; `not_found` if what it is about does not exist;
	 * `resource_exhausted` if 100,000 reports wait for the server; and what went wrong with an earlier report that nobody
	 * awaited.
	 *
	 * Python: `report_metrics(group, steps_completed, metrics)`
	 */
	reportMetrics(
		group: string,
		stepsCompleted: number,
		metrics: JsonObject,
		options?: ReportMetricsOptions,
	): Promise<void> {
		return this.#report(group, stepsCompleted, { metricsJson: toMetricsJson(metrics) }, options);
	}

	/**
	 * As reportMetrics for the group "training".
	 *
	 * @param batchMetrics The metrics of each batch, an object for each, which are kept beside the others.
	 *
	 * Python: `report_training_metrics(steps_completed, metrics, batch_metrics)`
	 */
	reportTrainingMetrics(
		stepsCompleted: number,
		metrics: JsonObject,
		batchMetrics?: readonly JsonObject[],
		options?: ReportMetricsOptions,
	): Promise<void> {
		const batches = batchMetrics === undefined ? "" : toBatchMetricsJson(batchMetrics);
		const texts = { metricsJson: toMetricsJson(metrics), batchMetricsJson: batches };
		return this.#report("training", stepsCompleted, texts, options);
	}

	/** As reportMetrics for the group "validation". Python: `report_validation_metrics(steps_completed, metrics)` */
	reportValidationMetrics(stepsCompleted: number, metrics: JsonObject, options?: ReportMetricsOptions): Promise<void> {
		return this.#report("validation", stepsCompleted, { metricsJson: toMetricsJson(metrics) }, options);
	}

	/**
	 * Reports how far the trial is, from 0 to 1. Of what is reported quickly, only the newest is sent.
	 *
	 * Python: `report_progress(progress)`
	 */
	reportProgress(progress: number): Promise<void> {
		this.#assertOpen();
		if (typeof progress !== "number" || !(progress >= 0 && progress <= 1)) {
			throw new MillraceError("invalid_argument", `the progress is ${shown(progress)}; it must be from 0 to 1`);
		}
		return this.#pending.track(this.#progress.write(progress));
	}

	/**
	 * Says in a few words what the script does. Of what is said quickly, only the newest is sent.
	 *
	 * Python: `set_status(status)`
	 */
	setStatus(status: string): Promise<void> {
		this.#assertOpen();
		if (typeof status !== "string") {
			throw new MillraceError("invalid_argument", `the status is ${shown(status)}; it must be a text`);
		}
		return this.#pending.track(this.#status.write(status));
	}

	/**
	 * Replaces the trial's metadata.
	 *
	 * Throws `invalid_argument` for what is no JSON object, or breaks a rule of the server's.
	 *
	 * Python: `set_metadata(metadata)`
	 */
	setMetadata(metadata: JsonObject): Promise<void> {
		this.#assertOpen();
		return this.#pending.track(this.#metadata.write(toJsonObject(metadata, "metadata")));
	}

	/** Returns the trial's metadata; {} without any. Python: `get_metadata()` */
	async getMetadata(): Promise<JsonObject> {
		this.#assertOpen();
		const { trial } = await this.#run.connection.trials.getTrial({ trialId: this.#run.member.trialId });
		return trial?.metadata ?? {};
	}

	#report(
		group: string,
		stepsCompleted: number,
		{ metricsJson, batchMetricsJson = "" }: { readonly metricsJson: string; readonly batchMetricsJson?: string },
		options: ReportMetricsOptions | undefined,
	): Promise<void> {
		this.#assertOpen();
		assertMetricGroup(group);
		assertStepsCompleted(stepsCompleted);
		const failed = this.#pending.takeFailure();
		if (failed !== undefined) {
			throw failed.error;
		}
		const characters = metricsJson.length + batchMetricsJson.length;
		this.#assertRoom(characters);
		const { trialId, trialRunId, rank } = this.#run.member;
		const report = { trialId, trialRunId, rank, group, stepsCompleted, metricsJson, batchMetricsJson };
		this.#waitingReports++;
		this.#waitingCharacters += characters;
		const send = async () => {
			const source = options && (await reportSource(options));
			await this.#reporter.report(source === undefined ? report : { ...report, source });
		};
		const sent = send().finally(() => {
			this.#waitingReports--;
			this.#waitingCharacters -= characters;
		});
		return this.#pending.track(sent);
	}

	/** A queue that only grows would end in a process without memory. */
	#assertRoom(characters: number): void {
		const isFull =
			this.#waitingReports >= largestQueue.reports ||
			(this.#waitingReports > 0 && this.#waitingCharacters + characters > largestQueue.characters);
		if (isFull) {
			throw new MillraceError(
				"resource_exhausted",
				`${this.#waitingReports} reports with ${this.#waitingCharacters} characters wait for the server; await some of them`,
			);
		}
	}
}

function toBatchMetricsJson(batchMetrics: readonly JsonObject[]): string {
	if (!Array.isArray(batchMetrics)) {
		throw new MillraceError("invalid_argument", "batchMetrics must be an array with an object for each batch");
	}
	return toJsonText(batchMetrics, "batchMetrics");
}
