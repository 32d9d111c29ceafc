import type { MetricReducer } from "../../../src/runtime/index.js";

/** Adds up whole numbers, so that the result does not depend on how the records were divided. */
export class Sum implements MetricReducer<number> {
	#sum = 0;
	add(value: number): void {
		this.#sum += value;
	}
	reset(): void {
		this.#sum = 0;
	}
	perSlotReduce(): number {
		return this.#sum;
	}
	crossSlotReduce(perSlot: readonly number[]): number {
		return perSlot.reduce((a, b) => a + b, 0);
	}
}
