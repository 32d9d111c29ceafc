import { isMillraceError, MillraceError, messageOf } from "../errors.js";
import type { RecordFailure } from "../gen/millrace/v1/progress_pb.js";
import type { JsonObject } from "../sdk/json.js";
import { MetricReporter } from "../sdk/metric-reporter.js";
import { atStep } from "../steps.js";
import type { OnError } from "./batch-process-options.js";
import type { BatchProcessor } from "./batch-processor.js";
import { Committer } from "./committer.js";
import type { JoinedRun } from "./join-run.js";
import type { DroppedOutputs } from "./output-files.js";
import { Part } from "./part.js";
import type { RecordSpan, ShardBatch } from "./sharding.js";

/** The most dead letters of a commit: with all the text that they may have, it is half of what a message may hold. */
const mostFailures = 200;

/** What the processors of a worker need. */
export interface ReplaceableProcessorOptions<B> {
	readonly run: JoinedRun;
	readonly trialDirectory: string;
	/** The index of the worker's first batch. */
	readonly baseStep: number;
	readonly onError: OnError;
	/** Makes a processor, whose context works with the part. */
	readonly make: (part: Part) => BatchProcessor<B>;
}

/**
 * This worker's processor, in its part. An error leaves a processor in an unknown state: another one then takes its
 * place, in a part of its own, and nothing counts of the part before that was not committed.
 */
export class ReplaceableProcessor<B> {
	readonly #options: ReplaceableProcessorOptions<B>;
	readonly #reporter: MetricReporter;
	/** Of the parts before, which may still be written to by what their processors have left running. */
	readonly #dropped: DroppedOutputs[] = [];
	#part: Part;
	#committer: Committer;
	/** Since `start`. */
	#processor!: BatchProcessor<B>;

	constructor(options: ReplaceableProcessorOptions<B>) {
		this.#options = options;
		this.#reporter = new MetricReporter(options.run.connection.metrics);
		this.#part = this.#newPart({ number: 0, step: options.baseStep, nextCommit: 1 });
		this.#committer = new Committer(this.#part);
	}

	/** The part of the processor that is at work. */
	get part(): Part {
		return this.#part;
	}

	/** Makes the processor and sets it up. Throws what it throws. */
	async start(): Promise<void> {
		const part = this.#part;
		const processor = await this.#called("the processor's constructor", () => this.#options.make(part));
		await this.#called("setup", async () => {
			await processor.setup?.();
			await part.ready();
		});
		this.#processor = processor;
	}

	/**
	 * Drops all since the last commit, and starts another processor.
	 *
	 * Throws what its constructor and `setup` throw, and `failed_precondition` if the run is over.
	 */
	async replace(): Promise<void> {
		const dropped = this.#part;
		const { run } = this.#options;
		// Whether or not a model is in order, it is of no use any more.
		await dropped.closeModels().catch(() => {});
		await run.connection.progress.startPart({ member: run.member, part: dropped.number + 1 });
		// Of the part itself nothing is kept: there is one for each failing record, and its reducers may be large.
		const outputs = dropped.outputs.giveUp();
		this.#dropped.push(outputs);
		await outputs.removeUncommitted();
		const { number, committedStep, nextCommit } = dropped;
		this.#part = this.#newPart({ number: number + 1, step: committedStep, nextCommit });
		this.#committer = new Committer(this.#part);
		await this.start();
	}

	/** Waits for a batch, which counts as being at it: it may never come. Throws what loading throws. */
	async loaded({ step, range }: ShardBatch, loading: Promise<B>): Promise<B> {
		const { rendezvous } = this.#options.run;
		rendezvous.beginStep({ step: this.#options.baseStep + step, ...range, isLoading: true });
		try {
			return await loading;
		} finally {
			rendezvous.endStep();
		}
	}

	/** Lets the processor process a batch. Throws what it throws. */
	async process({ step, indices, range }: ShardBatch, batch: B): Promise<void> {
		const part = this.#part;
		const { baseStep, run } = this.#options;
		const batchIdx = baseStep + step;
		part.step = batchIdx + 1;
		part.reducers.beginBatch(indices[0] ?? 0);
		run.rendezvous.beginStep({ step: batchIdx, ...range });
		run.process.status.setBatch({ step: batchIdx, ...range });
		try {
			await this.#processor.processBatch(batch, batchIdx, { indices, signal: run.rendezvous.signal });
		} finally {
			run.rendezvous.endStep();
		}
		this.#committer.add(range);
	}

	/**
	 * Commits what was processed since the last commit. After the last one the reducers take no values any more. The
	 * records `alone` are batches of their own in later runs.
	 */
	async commit(isLast: boolean, alone: readonly RecordSpan[] = []): Promise<void> {
		atStep("commit.begin");
		this.#options.run.process.status.setBatch(undefined);
		await this.#called("onCheckpointStart", () => this.#processor.onCheckpointStart?.());
		atStep("commit.checkpoint-start-done");
		await this.#committer.commit(isLast, alone);
	}

	/** Commits dead letters of a batch, in one commit or some. There must be nothing else to commit. */
	async commitFailures({ step }: ShardBatch, failures: readonly RecordFailure[]): Promise<void> {
		this.#part.step = this.#options.baseStep + step + 1;
		for (let first = 0; first < failures.length; first += mostFailures) {
			await this.#committer.commitFailures(failures.slice(first, first + mostFailures));
		}
	}

	/** Gives the processor the reducers' results, and commits what it makes of them. */
	async finish(results: JsonObject): Promise<void> {
		await this.#called("onFinish", () => this.#processor.onFinish?.(results));
		atStep("end.on-finish-done");
		await this.#part.closeModels();
		for (const outputs of this.#dropped) {
			await outputs.removeUncommitted();
		}
		await this.#committer.commitFinish();
	}

	/** Releases what the processor holds. */
	async close(): Promise<void> {
		await this.#part.closeModels();
	}

	#newPart(place: { number: number; step: number; nextCommit: number }): Part {
		const { run, trialDirectory } = this.#options;
		return new Part({ ...place, run, trialDirectory, reporter: this.#reporter });
	}

	/** Calls what the policy does not cover, so that its error says so. */
	async #called<R>(name: string, call: () => R | Promise<R>): Promise<R> {
		try {
			return await call();
		} catch (error) {
			if (this.#options.onError === "fail" || this.#options.run.rendezvous.signal.aborted) {
				throw error;
			}
			throw new MillraceError(
				isMillraceError(error) ? error.code : "unknown",
				`${name} threw, which onError "skip" does not cover, as no record is at fault: ${messageOf(error)}`,
				{ cause: error },
			);
		}
	}
}
