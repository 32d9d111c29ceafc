/** Memory that was asked for: it waits, or it is lent. */
export class Loan {
	readonly bytes: number;
	/** Of those who wait the ones with a smaller number come first. */
	readonly standing: number;
	readonly #onLent: () => void;
	readonly #onEnd: (wasLent: boolean) => void;
	#state: "asked" | "waiting" | "lent" | "over" = "asked";
	#patience: NodeJS.Timeout | undefined;

	/** @internal Loans are made by pools. */
	constructor(bytes: number, standing: number, onLent: () => void, onEnd: (wasLent: boolean) => void) {
		this.bytes = bytes;
		this.standing = standing;
		this.#onLent = onLent;
		this.#onEnd = onEnd;
	}

	/** Whether it is lent by now. */
	get isLent(): boolean {
		return this.#state === "lent";
	}

	/** @internal */
	wait(): void {
		this.#state = this.#state === "asked" ? "waiting" : this.#state;
	}

	/** @internal */
	lend(): void {
		clearTimeout(this.#patience);
		const hasWaited = this.#state === "waiting";
		this.#state = "lent";
		if (hasWaited) {
			this.#onLent();
		}
	}

	/** Ends it if it waits for longer than this, in milliseconds, and then calls `onOver`. */
	waitAtMost(ms: number, onOver: () => void): void {
		if (this.#state === "waiting") {
			this.#patience = setTimeout(() => {
				this.end();
				onOver();
			}, ms).unref();
		}
	}

	/** Gives it back, or asks for it no more. Does nothing the second time. */
	end(): void {
		clearTimeout(this.#patience);
		const before = this.#state;
		this.#state = "over";
		if (before !== "over") {
			this.#onEnd(before === "lent");
		}
	}
}

/** Bytes that are lent, to those first who have the best standing, and among them in the order in which they asked. */
export class MemoryPool {
	readonly #bytes: number;
	readonly #waiting: Loan[] = [];
	#lent = 0;

	constructor(bytes: number) {
		this.#bytes = bytes;
	}

	/** The bytes that are lent. */
	get lent(): number {
		return this.#lent;
	}

	/** Those who wait, the next one first. */
	get waiting(): readonly Loan[] {
		return this.#waiting;
	}

	/**
	 * Asks for bytes. Who asks for more than there are gets them once nobody else has any.
	 *
	 * @param onLent Called when they are lent, if they are not at once.
	 */
	ask(bytes: number, onLent: () => void, standing = 0): Loan {
		const loan: Loan = new Loan(bytes, standing, onLent, (wasLent) => this.#end(loan, wasLent));
		const place = this.#waiting.findIndex((other) => other.standing > standing);
		this.#waiting.splice(place === -1 ? this.#waiting.length : place, 0, loan);
		this.#lend();
		loan.wait();
		return loan;
	}

	#end(loan: Loan, wasLent: boolean): void {
		if (wasLent) {
			this.#lent -= loan.bytes;
		} else {
			this.#waiting.splice(this.#waiting.indexOf(loan), 1);
		}
		this.#lend();
	}

	#lend(): void {
		for (let [next] = this.#waiting; next !== undefined && this.#hasRoom(next); [next] = this.#waiting) {
			this.#waiting.shift();
			this.#lent += next.bytes;
			next.lend();
		}
	}

	#hasRoom({ bytes }: Loan): boolean {
		return this.#lent === 0 || this.#lent + bytes <= this.#bytes;
	}
}
