import type { MessageInitShape } from "@bufbuild/protobuf";
import type { PendingCommitSchema } from "../gen/millrace/v1/metric_pb.js";
import type { MetricReporter } from "../sdk/metric-reporter.js";
import type { ReportSource } from "../sdk/report-metrics-options.js";
import type { InferenceModel } from "./inference-model.js";
import type { JoinedRun } from "./join-run.js";
import { ReducerRegistry } from "./metric-reducer.js";
import { OutputFiles } from "./output-files.js";
import { PendingWork } from "./pending-work.js";

/** What one processor object has at hand and leaves behind: models, reducers, reports and output files. */
export class Part {
	/** The number of the part on this worker, from 0. */
	readonly number: number;
	readonly run: JoinedRun;
	readonly reducers = new ReducerRegistry();
	readonly outputs: OutputFiles;
	readonly pending = new PendingWork();
	/** How many steps this worker has completed or is in, those of earlier runs included. */
	step: number;
	/** How many steps this worker had completed at its last commit. */
	committedStep: number;
	/** The number of the worker's next commit, which will confirm what is reported now. */
	nextCommit: number;
	readonly #reporter: MetricReporter;
	readonly #models: InferenceModel[] = [];

	constructor(options: {
		number: number;
		run: JoinedRun;
		reporter: MetricReporter;
		trialDirectory: string;
		step: number;
		nextCommit: number;
	}) {
		this.number = options.number;
		this.run = options.run;
		this.step = options.step;
		this.committedStep = options.step;
		this.nextCommit = options.nextCommit;
		this.#reporter = options.reporter;
		const { trialRunId, rank, memberUuid } = options.run.member;
		const { trialDirectory } = options;
		this.outputs = new OutputFiles({ trialDirectory, trialRunId, rank, part: options.number, member: memberUuid });
	}

	/** Reports metrics, which the next commit confirms. `source` is what they are about. */
	report(group: string, stepsCompleted: number, metricsJson: string, source?: ReportSource): Promise<void> {
		const { trialId, trialRunId, rank } = this.run.member;
		const pendingCommit: MessageInitShape<typeof PendingCommitSchema> = {
			member: this.run.member,
			part: this.number,
			commitNumber: this.nextCommit,
		};
		const report = { trialId, trialRunId, rank, group, stepsCompleted, metricsJson, pendingCommit };
		return this.pending.track(this.#reporter.report({ ...report, ...(source && { source }) }));
	}

	/** Keeps a model, which the part awaits and closes. */
	addModel(model: InferenceModel): void {
		this.#models.push(model);
	}

	/** Waits for the models, and for what setup has started. */
	async ready(): Promise<void> {
		await Promise.all(this.#models.map((model) => model.loaded));
		await this.pending.settle();
	}

	/** Ends the models' threads; their profiles are then written. */
	async closeModels(): Promise<void> {
		await Promise.all(this.#models.splice(0).map((model) => model.close()));
	}
}
