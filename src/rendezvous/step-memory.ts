import type { StepBegin } from "./client.js";

/** A batch that is waited for, or processed. */
export interface StepSeen extends StepBegin {
	readonly isLoading: boolean;
}

/**
 * What a worker's main thread says of the batch that it is at, in memory that another thread reads: it costs
 * nothing, and needs no turn of the event loop of either.
 */
export class StepMemory {
	/** What a thread is given to make its own StepMemory of. */
	readonly buffer: SharedArrayBuffer;
	/** The turn, which is odd while there is a batch, and how many steps are completed. */
	readonly #counts: Int32Array;
	readonly #step: Float64Array;

	constructor(buffer = new SharedArrayBuffer(40)) {
		this.buffer = buffer;
		this.#counts = new Int32Array(buffer, 0, 2);
		this.#step = new Float64Array(buffer, 8, 4);
	}

	begin({ step, first, end, isLoading = false }: StepBegin): void {
		this.end();
		this.#step.set([step, first, end, isLoading ? 1 : 0]);
		Atomics.store(this.#counts, 1, step);
		Atomics.add(this.#counts, 0, 1);
	}

	end(): void {
		if (this.turn % 2 !== 0) {
			const [step = 0, , , loading] = this.#step;
			Atomics.store(this.#counts, 1, loading === 1 ? step : step + 1);
			Atomics.add(this.#counts, 0, 1);
		}
	}

	/** Grows each time that a batch is begun or ended. */
	get turn(): number {
		return Atomics.load(this.#counts, 0);
	}

	/** How many steps the main thread has completed, as its batches say. */
	get completed(): number {
		return Atomics.load(this.#counts, 1);
	}

	/** Returns the batch that the main thread is at, or undefined. */
	read(): StepSeen | undefined {
		const { turn } = this;
		const [step = 0, first = 0, end = 0, loading] = this.#step;
		// Otherwise it was written meanwhile.
		const isWhole = turn % 2 !== 0 && this.turn === turn;
		return isWhole ? { step, first, end, isLoading: loading === 1 } : undefined;
	}
}
