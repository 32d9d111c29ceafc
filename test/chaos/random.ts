/** Random numbers that the same seed repeats. */
export class Random {
	#state: number;

	/** @param seed Any text. */
	constructor(seed: string) {
		// FNV-1a, so that seeds that look alike are far apart.
		this.#state = 0x811c9dc5;
		for (const byte of Buffer.from(seed)) {
			this.#state = Math.imul(this.#state ^ byte, 0x01000193);
		}
	}

	/** Returns a number from 0 to below 1. Mulberry32. */
	next(): number {
		this.#state = (this.#state + 0x6d2b79f5) | 0;
		let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
		mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
		return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
	}

	/** Returns a whole number from `first` to `last`. */
	integer(first: number, last: number): number {
		return first + Math.floor(this.next() * (last - first + 1));
	}

	/** Returns one of the list, which is not empty. */
	pick<T>(list: readonly T[]): T {
		return list[this.integer(0, list.length - 1)] as T;
	}

	/** Returns true that often. */
	chance(probability: number): boolean {
		return this.next() < probability;
	}
}
