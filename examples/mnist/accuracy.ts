import type { MetricReducer } from "millrace/runtime";

interface Counts {
	right: number;
	seen: number;
	[key: string]: number;
}

/** The share of records whose prediction was right, over all workers and all runs. */
export class Accuracy implements MetricReducer<Counts> {
	readonly #prefix: string;
	#counts: Counts = { right: 0, seen: 0 };

	constructor(prefix = "") {
		this.#prefix = prefix;
	}

	update(isRight: boolean): void {
		this.#counts.seen += 1;
		this.#counts.right += isRight ? 1 : 0;
	}

	reset(): void {
		this.#counts = { right: 0, seen: 0 };
	}

	perSlotReduce(): Counts {
		return { ...this.#counts };
	}

	crossSlotReduce(perSlot: readonly Counts[]) {
		const right = perSlot.reduce((sum, counts) => sum + counts.right, 0);
		const seen = perSlot.reduce((sum, counts) => sum + counts.seen, 0);
		return { [`${this.#prefix}accuracy`]: right / seen, [`${this.#prefix}records`]: seen };
	}
}
