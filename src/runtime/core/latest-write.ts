/** Sends the newest of what it is given: while one is on its way, the last that came takes the place of the others. */
export class LatestWrite<T> {
	readonly #send: (value: T) => Promise<unknown>;
	#last: Promise<unknown> = Promise.resolve();
	#next: Promise<void> | undefined;
	#newest: { readonly value: T } | undefined;

	constructor(send: (value: T) => Promise<unknown>) {
		this.#send = send;
	}

	/** Resolves when the value, or a newer one, was sent. */
	write(value: T): Promise<void> {
		this.#newest = { value };
		this.#next ??= this.#last.then(() => this.#sendNewest());
		return this.#next;
	}

	async #sendNewest(): Promise<void> {
		this.#next = undefined;
		if (this.#newest !== undefined) {
			const sent = this.#send(this.#newest.value);
			this.#last = sent.catch(() => {});
			await sent;
		}
	}
}
