import { refusedForNow } from "../pushback.js";
import { Pace } from "./pace.js";

/** How many seconds' calls may come at once. */
const burstSeconds = 2;

/** How often each caller calls. Each may call so many times per second, and after a pause twice as many at once. */
export class CallRates {
	readonly #perSecond: number;
	readonly #pace: Pace;

	/** @param now Tells the time in milliseconds, from any start. */
	constructor(perSecond: number, now?: () => number) {
		this.#perSecond = perSecond;
		this.#pace = new Pace({ burst: burstSeconds * perSecond, apartMs: 1_000 / perSecond }, now);
	}

	/** The number of callers that are remembered. */
	get size(): number {
		return this.#pace.size;
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
		const waitMs = this.#pace.take(caller);
		if (waitMs > 0) {
			throw refusedForNow(
				`${named} made more than ${this.#perSecond} calls per second, the most that the server answers; call less ` +
					"often, put more into each call, or start the server with a larger --max-calls-per-second",
				waitMs,
			);
		}
	}
}
