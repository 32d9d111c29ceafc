import { atStep } from "../steps.js";
import type { BatchProcessor } from "./batch-processor.js";
import type { Part } from "./part.js";
import { mergeRanges, type RecordSpan } from "./sharding.js";

/** Commits what a part has done: all of it, or nothing. */
export class Committer {
	readonly #part: Part;
	readonly #processor: BatchProcessor<never>;
	#done: RecordSpan[] = [];

	constructor(part: Part, processor: BatchProcessor<never>) {
		this.#part = part;
		this.#processor = processor;
	}

	/** Adds the records of a batch to what the next commit covers. */
	add(range: RecordSpan): void {
		this.#done.push(range);
	}

	/**
	 * Lets the processor write what it holds, and commits all since the last commit. After the last one the
	 * reducers take no values any more.
	 */
	async commit(isLast: boolean): Promise<void> {
		atStep("commit.begin");
		await this.#processor.onCheckpointStart?.();
		atStep("commit.checkpoint-start-done");
		await this.#send(false, isLast);
	}

	/** Commits what onFinish has reported and written. */
	commitFinish(): Promise<void> {
		return this.#send(true, true);
	}

	async #send(finish: boolean, isLast: boolean): Promise<void> {
		const part = this.#part;
		// What is reported from here on belongs to the commit after this one.
		const commitNumber = part.nextCommit++;
		await part.pending.settle();
		atStep("commit.reports-settled");
		const outputs = await part.outputs.collect(finish);
		atStep("commit.outputs-synced");
		const partials = finish ? [] : part.reducers.takePartials();
		if (isLast) {
			part.reducers.end();
		}
		const { connection, member } = part.run;
		await connection.progress.commit({
			member,
			part: part.number,
			commitNumber,
			step: part.step,
			ranges: mergeRanges(this.#done).map(({ first, end }) => ({ first: BigInt(first), end: BigInt(end) })),
			outputs,
			partials,
			finish,
		});
		atStep("commit.answered");
		this.#done = [];
	}
}
