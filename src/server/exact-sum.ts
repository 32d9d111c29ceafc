const view = new DataView(new ArrayBuffer(8));

/** A sum of finite numbers that is rounded only where it is read, so that their order does not matter. */
export class ExactSum {
	// The sum is mantissa x 2^exponent.
	#mantissa = 0n;
	#exponent = 0;

	/** Reads what `toJSON` wrote. */
	static parse([mantissa, exponent]: readonly [mantissa: string, exponent: number]): ExactSum {
		const sum = new ExactSum();
		sum.#mantissa = mantissa.startsWith("-") ? -BigInt(`0x${mantissa.slice(1)}`) : BigInt(`0x${mantissa}`);
		sum.#exponent = exponent;
		return sum;
	}

	/** Adds a number, which must be finite. */
	add(value: number): void {
		if (value === 0) {
			return;
		}
		view.setFloat64(0, value);
		const high = view.getUint32(0);
		const biased = (high >>> 20) & 0x7ff;
		const fraction = (high & 0xfffff) * 2 ** 32 + view.getUint32(4);
		const mantissa = BigInt(biased === 0 ? fraction : fraction + 2 ** 52);
		this.#add(value < 0 ? -mantissa : mantissa, Math.max(biased, 1) - 1075);
	}

	/** Adds another sum. */
	addSum(other: ExactSum): void {
		this.#add(other.#mantissa, other.#exponent);
	}

	/** Returns the nearest number; an infinity where there is none. */
	toNumber(): number {
		const magnitude = this.#mantissa < 0n ? -this.#mantissa : this.#mantissa;
		// At least 61 bits stay, the last of them set if one that is dropped is: so it is rounded once.
		const dropped = Math.max(0, magnitude.toString(16).length * 4 - 64);
		const top = magnitude >> BigInt(dropped);
		const rounded = Number(top << BigInt(dropped) === magnitude ? top : top | 1n);
		const value = rounded === 0 ? 0 : rounded * 2 ** (this.#exponent + dropped);
		return this.#mantissa < 0n ? -value : value;
	}

	toJSON(): [mantissa: string, exponent: number] {
		return [this.#mantissa.toString(16), this.#exponent];
	}

	#add(mantissa: bigint, exponent: number): void {
		const shift = exponent - this.#exponent;
		if (shift >= 0) {
			this.#mantissa += mantissa << BigInt(shift);
		} else {
			this.#mantissa = (this.#mantissa << BigInt(-shift)) + mantissa;
			this.#exponent = exponent;
		}
	}
}
