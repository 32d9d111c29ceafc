import type { RecordFailure } from "../gen/millrace/v1/progress_pb.js";
import { atStep } from "../steps.js";
import type { Part } from "./part.js";
import { mergeRanges, type RecordSpan } from "./sharding.js";

/** Commits what a part has done: all of it, or nothing. */
export class Committer {
	readonly #part: Part;
	#done: RecordSpan[] = [];

	constructor(part: Part) {
		this.#part = part;
	}

	/** Adds the records of a batch to what the next commit covers. */
	add(range: RecordSpan): void {
		this.#done.push(range);
	}

	/**
	 * Commits all since the last commit. After the last one the reducers take no values any more. The records `alone`
	 * are batches of their own in later runs.
	 */
	commit(isLast: boolean, alone: readonly RecordSpan[] = []): Promise<void> {
		return this.#send({ isLast, alone });
	}

	/** Commits dead letters, with all since the last commit. */
	commitFailures(failures: readonly RecordFailure[]): Promise<void> {
		return this.#send({ failures });
	}

	/** Commits what onFinish has reported and written. */
	commitFinish(): Promise<void> {
		return this.#send({ isLast: true, finish: true });
	}

	async #send({
		isLast = false,
		finish = false,
		failures = [] as readonly RecordFailure[],
		alone = [] as readonly RecordSpan[],
	}): Promise<void> {
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
			ranges: toRanges(mergeRanges(this.#done)),
			outputs,
			partials,
			finish,
			failures: [...failures],
			alone: toRanges(alone),
		});
		atStep("commit.answered");
		this.#done = [];
		part.committedStep = part.step;
	}
}

function toRanges(spans: readonly RecordSpan[]) {
	return spans.map(({ first, end }) => ({ first: BigInt(first), end: BigInt(end) }));
}
