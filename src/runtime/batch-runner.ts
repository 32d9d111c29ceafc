import { isMillraceError, MillraceError, messageOf } from "../errors.js";
import type { RecordFailure } from "../gen/millrace/v1/progress_pb.js";
import type { OnError } from "./batch-process-options.js";
import type { LoadingBatch } from "./data-loader.js";
import type { DistributedContext } from "./distributed/distributed-context.js";
import { isOutputError } from "./output-error.js";
import { toRecordFailure } from "./record-failure.js";
import type { ReplaceableProcessor } from "./replaceable-processor.js";
import type { RecordSpan, ShardBatch } from "./sharding.js";

/** What a BatchRunner works with. */
export interface BatchRunnerOptions<B> {
	readonly current: ReplaceableProcessor<B>;
	readonly onError: OnError;
	readonly distributed: DistributedContext;
	/** Loads records as a batch. */
	readonly load: (indices: readonly number[]) => Promise<B>;
}

/** What went wrong with a batch. */
interface Failure {
	readonly error: unknown;
	/** Whether the processor had the batch. Its state is unknown then. */
	readonly isOfProcessor: boolean;
}

/**
 * Processes batches by the policy for errors. With "skip", an error is treated as a crash inside this process: all
 * since the last commit is dropped with the processor, another processor goes through it again up to the failing batch
 * and commits, and then takes that batch's records one by one, each with a commit of its own. What fails alone is a
 * dead letter, as soon as one of them has succeeded. These commits meet no other worker.
 */
export class BatchRunner<B> {
	readonly #options: BatchRunnerOptions<B>;
	readonly #sharedCallsBefore: number;
	/** What was processed since the last commit. */
	#uncommitted: ShardBatch[] = [];

	constructor(options: BatchRunnerOptions<B>) {
		this.#options = options;
		this.#sharedCallsBefore = options.distributed.sharedCalls;
	}

	/**
	 * Processes a batch, which the next commit includes; one with an error is committed at once.
	 *
	 * Throws the error with the policy "fail", and with "skip" where no record is at fault alone, or where the
	 * processor has told other workers something that a second one would tell them again.
	 */
	async process(batch: LoadingBatch<B>): Promise<void> {
		const failure = await this.#attempt(batch, batch.loaded);
		if (failure !== undefined) {
			await this.#options.distributed.apart(() => this.#retry(batch, failure));
		}
	}

	/** Commits what was processed since the last commit. The records `alone` are batches of their own in later runs. */
	async commit(isLast: boolean, alone: readonly RecordSpan[] = []): Promise<void> {
		await this.#options.current.commit(isLast, alone);
		this.#uncommitted = [];
	}

	async #attempt(batch: ShardBatch, loaded: Promise<B>): Promise<Failure | undefined> {
		const { current } = this.#options;
		const { signal } = current.part.run.rendezvous;
		let isOfProcessor = false;
		try {
			const content = await current.loaded(batch, loaded);
			signal.throwIfAborted();
			isOfProcessor = true;
			await current.process(batch, content);
		} catch (error) {
			// Where the run has ended, that is why, and no record is at fault.
			signal.throwIfAborted();
			this.#assertSkippable(error);
			return { error, isOfProcessor };
		}
		this.#uncommitted.push(batch);
		return undefined;
	}

	async #retry(batch: ShardBatch, { error, isOfProcessor }: Failure): Promise<void> {
		if (isOfProcessor) {
			await this.#startAnew();
		}
		if (this.#uncommitted.length > 0) {
			await this.commit(false);
		}
		await this.#processAlone(batch, error);
	}

	/** Replaces the processor, and processes again what the one before had not committed. */
	async #startAnew(): Promise<void> {
		const dropped = this.#uncommitted;
		this.#uncommitted = [];
		await this.#options.current.replace();
		for (const batch of dropped) {
			const failure = await this.#attempt(batch, this.#options.load(batch.indices));
			if (failure !== undefined) {
				await this.#retry(batch, failure);
			}
		}
	}

	/** Processes the records of a batch one by one. All before it is committed. */
	async #processAlone(batch: ShardBatch, firstError: unknown): Promise<void> {
		const { current, load } = this.#options;
		// Until a record succeeds, none is known to be at fault.
		const unclear: RecordFailure[] = [];
		let isClear = batch.indices.length === 1;
		for (const record of batch.indices) {
			const alone = { step: batch.step, indices: [record], range: { first: record, end: record + 1 } };
			const failure = await this.#attempt(alone, load(alone.indices));
			if (failure !== undefined) {
				unclear.push(toRecordFailure(record, failure.error));
				if (failure.isOfProcessor) {
					await current.replace();
				}
			} else if (isClear) {
				await this.commit(false);
			} else {
				// Whatever happens from here on, no later run takes what is left of the batch for a batch.
				await this.commit(false, othersOf(batch, record));
				isClear = true;
			}
			if (isClear && unclear.length > 0) {
				await this.#commitFailures(batch, unclear.splice(0));
			}
		}
		if (!isClear) {
			throw batchError(batch, firstError);
		}
	}

	async #commitFailures(batch: ShardBatch, failures: readonly RecordFailure[]): Promise<void> {
		await this.#options.current.commitFailures(batch, failures);
		for (const { record, error } of failures) {
			console.warn(`millrace: record ${record} failed and is skipped: ${error}`);
		}
	}

	#assertSkippable(error: unknown): void {
		// A storage that is full or closed would make dead letters of all that is left.
		if (this.#options.onError === "fail" || isOutputError(error)) {
			throw error;
		}
		if (this.#options.distributed.sharedCalls > this.#sharedCallsBefore) {
			throw new MillraceError(
				codeOf(error),
				'onError "skip" does not cover processors that call collective operations before onFinish, as a second ' +
					`processor would call them without the other workers: ${messageOf(error)}`,
				{ cause: error },
			);
		}
	}
}

/** Returns the records of a batch without one of them. */
function othersOf({ range }: ShardBatch, record: number): RecordSpan[] {
	const sides = [
		{ first: range.first, end: record },
		{ first: record + 1, end: range.end },
	];
	return sides.filter(({ first, end }) => first < end);
}

function batchError({ indices, range }: ShardBatch, error: unknown): MillraceError {
	return new MillraceError(
		codeOf(error),
		`each of the ${indices.length} records ${range.first} to ${range.end - 1} failed alone too, so that none of them is at ` +
			`fault, and onError "skip" does not cover it: ${messageOf(error)}`,
		{ cause: error },
	);
}

function codeOf(error: unknown) {
	return isMillraceError(error) ? error.code : "unknown";
}
