import { refusedForNow } from "../pushback.js";

interface Bucket {
	tokens: number;
	at: number;
}

/** How many seconds' calls may come at once. */
const burstSeconds = 2;

/** How often each caller calls. Each may call so many times per second, and after a pause twice as many at once. */
export class CallRates {
	readonly #perSecond: number;
	readonly #now: () => number;
	/** By caller, those first who called the longest ago. */
	readonly #buckets = new Map<string, Bucket>();

	/** @param now Tells the time in milliseconds, from any start. */
	constructor(perSecond: number, now: () => number = () => performance.now()) {
		this.#perSecond = perSecond;
		this.#now = now;
	}

	/** The number of callers that are remembered. */
	get size(): number {
		return this.#buckets.size;
	}

	/**
	 * Counts a call.
	 *
	 * Throws `resource_exhausted`, for now, if the caller has called too often. Such a call is not counted.
	 *
	 * @param caller Who calls, for the count.
	 * @param named The same, for the sentence: "one token".
	 */
	count(caller: string, named: string): void {
		const now = this.#now();
		this.#forget(now);
		const size = this.#perSecond * burstSeconds;
		const { tokens, at } = this.#buckets.get(caller) ?? { tokens: size, at: now };
		const bucket = { tokens: Math.min(size, tokens + ((now - at) * this.#perSecond) / 1_000), at: now };
		this.#buckets.delete(caller);
		this.#buckets.set(caller, bucket);
		if (bucket.tokens < 1) {
			throw refusedForNow(
				`${named} made more than ${this.#perSecond} calls per second, the most that the server answers; call less ` +
					"often, put more into each call, or start the server with a larger --max-calls-per-second",
				((1 - bucket.tokens) * 1_000) / this.#perSecond,
			);
		}
		bucket.tokens -= 1;
	}

	/** Forgets the callers who may make a whole burst again. */
	#forget(now: number): void {
		for (const [caller, { at }] of this.#buckets) {
			if (now - at < burstSeconds * 1_000) {
				return;
			}
			this.#buckets.delete(caller);
		}
	}
}
