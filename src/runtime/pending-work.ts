/**
 * What user code has started and need not wait for: reports and uploads. A commit waits for all of it,
 * and fails with what nobody else has heard of.
 */
export class PendingWork {
	readonly #open = new Set<Promise<unknown>>();
	readonly #failed: Failure[] = [];

	/** Keeps an eye on `work`. Whoever awaits the returned promise has heard of its failure. */
	track<T>(work: Promise<T>): Promise<T> {
		const failure: Failure = { isHeard: false, error: undefined };
		const watched: Promise<unknown> = work
			.catch((error) => {
				failure.error = error;
				this.#failed.push(failure);
			})
			.finally(() => this.#open.delete(watched));
		this.#open.add(watched);
		return new HeardPromise(work, () => {
			failure.isHeard = true;
		});
	}

	/** Returns the first failure that nobody has heard of, once; waits for nothing. */
	takeFailure(): { readonly error: unknown } | undefined {
		const at = this.#failed.findIndex(({ isHeard }) => !isHeard);
		const passed = this.#failed.splice(0, at < 0 ? this.#failed.length : at + 1);
		return at < 0 ? undefined : passed[at];
	}

	/** Waits for all that is open now. Throws the first failure that nobody has heard of. */
	async settle(): Promise<void> {
		await Promise.all(this.#open);
		// An await listens a little later than it is written, so what is heard is known only now.
		const first = this.#failed.splice(0).find(({ isHeard }) => !isHeard);
		if (first !== undefined) {
			throw first.error;
		}
	}
}

interface Failure {
	isHeard: boolean;
	error: unknown;
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
