/**
 * What user code has started and need not wait for: reports and uploads. A commit waits for all of it,
 * and fails with what nobody else has heard of.
 */
export class PendingWork {
	readonly #open = new Set<Promise<unknown>>();
	readonly #unheard: { error: unknown }[] = [];

	/** Keeps an eye on `work`. Whoever awaits the returned promise has heard of its failure. */
	track<T>(work: Promise<T>): Promise<T> {
		let heard = false;
		const watched: Promise<unknown> = work
			.catch((error) => {
				if (!heard) {
					this.#unheard.push({ error });
				}
			})
			.finally(() => this.#open.delete(watched));
		this.#open.add(watched);
		return new HeardPromise(work, () => {
			heard = true;
		});
	}

	/** Waits for all that is open now. Throws the first failure that nobody has heard of. */
	async settle(): Promise<void> {
		await Promise.all(this.#open);
		const [first] = this.#unheard.splice(0);
		if (first !== undefined) {
			throw first.error;
		}
	}
}

/** A promise that tells when somebody listens to it. */
class HeardPromise<T> implements Promise<T> {
	readonly [Symbol.toStringTag] = "Promise";
	readonly #work: Promise<T>;
	readonly #onHeard: () => void;

	constructor(work: Promise<T>, onHeard: () => void) {
		this.#work = work;
		this.#onHeard = onHeard;
	}

	// biome-ignore lint/suspicious/noThenProperty: being awaited is what it is for
	then<A = T, B = never>(
		onFulfilled?: ((value: T) => A | PromiseLike<A>) | null,
		onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
	): Promise<A | B> {
		this.#onHeard();
		return this.#work.then(onFulfilled, onRejected);
	}

	catch<B = never>(onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null): Promise<T | B> {
		return this.then(undefined, onRejected);
	}

	finally(onFinally?: (() => void) | null): Promise<T> {
		this.#onHeard();
		return this.#work.finally(onFinally);
	}
}
