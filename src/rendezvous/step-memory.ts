import type { StepBegin } from "./client.js";

/** A batch that is waited for, or processed, and which one of all it is. */
export interface StepSeen extends StepBegin {
	readonly isLoading: boolean;
	/** Another each time that a batch is begun. */
	readonly turn: number;
}

/**
 * What a worker's main thread says of the batch that it is at, in memory that another thread reads: it costs
 * nothing, and needs no turn of the event loop of either.
 */
export class StepMemory {
	/** What a thread is given to make its own StepMemory of. */
	readonly buffer: SharedArrayBuffer;
	/** Odd while there is a batch. */
	readonly #turn: Int32Array;
	readonly #step: Float64Array;

	constructor(buffer = new SharedArrayBuffer(40)) {
		this.buffer = buffer;
		this.#turn = new Int32Array(buffer, 0, 1);
		this.#step = new Float64Array(buffer, 8, 4);
	}

	begin({ step, first, end, isLoading = false }: StepBegin): void {
		this.end();
		this.#step.set([step, first, end, isLoading ? 1 : 0]);
		Atomics.add(this.#turn, 0, 1);
	}

	end(): void {
		if (Atomics.load(this.#turn, 0) % 2 !== 0) {
			Atomics.add(this.#turn, 0, 1);
		}
	}

	/** Returns the batch that the main thread is at, or undefined. */
	read(): StepSeen | undefined {
		const turn = Atomics.load(this.#turn, 0);
		const [step = 0, first = 0, end = 0, loading] = this.#step;
		// Otherwise it was written meanwhile.
		const isWhole = turn % 2 !== 0 && Atomics.load(this.#turn, 0) === turn;
		return isWhole ? { turn, step, first, end, isLoading: loading === 1 } : undefined;
	}
}
