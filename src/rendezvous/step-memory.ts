import type { StepBegin } from "./client.js";

/** A batch that is being processed, and which one of all it is. */
export interface StepSeen extends StepBegin {
	/** Another for each batch. */
	readonly turn: number;
}

/**
 * What a worker's main thread says of the batch that it processes, in memory that another thread reads: it costs
 * nothing, and needs no turn of the event loop of either.
 */
export class StepMemory {
	/** What a thread is given to make its own StepMemory of. */
	readonly buffer: SharedArrayBuffer;
	/** Odd while a batch is being processed. */
	readonly #turn: Int32Array;
	readonly #step: Float64Array;

	constructor(buffer = new SharedArrayBuffer(32)) {
		this.buffer = buffer;
		this.#turn = new Int32Array(buffer, 0, 1);
		this.#step = new Float64Array(buffer, 8, 3);
	}

	begin({ step, first, end }: StepBegin): void {
		this.end();
		this.#step.set([step, first, end]);
		Atomics.add(this.#turn, 0, 1);
	}

	end(): void {
		if (Atomics.load(this.#turn, 0) % 2 !== 0) {
			Atomics.add(this.#turn, 0, 1);
		}
	}

	/** Returns the batch that is being processed, or undefined. */
	read(): StepSeen | undefined {
		const turn = Atomics.load(this.#turn, 0);
		const [step = 0, first = 0, end = 0] = this.#step;
		// Otherwise it was written meanwhile.
		const isWhole = turn % 2 !== 0 && Atomics.load(this.#turn, 0) === turn;
		return isWhole ? { turn, step, first, end } : undefined;
	}
}
