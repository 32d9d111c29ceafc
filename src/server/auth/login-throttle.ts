import { MillraceError } from "../../errors.js";

/** How many wrong passwords are free, in a row. */
const free = 10;
/** How long each further one makes wait: 1 s, and twice as long after each, at most this, in milliseconds. */
const longestWaitMs = 60_000;
/** After this time without an attempt, all is forgotten. */
const forgetMs = 15 * 60 * 1000;
/** Of how many it is remembered, so that nobody fills the memory with names. */
const mostRemembered = 10_000;

/** The wrong passwords of somebody. */
interface Failures {
	count: number;
	/** When the next attempt is allowed. */
	nextTime: number;
	lastTime: number;
	/** The attempt that is under way: each waits for the one before, or many at once would all be free. */
	turn: Promise<unknown>;
}

/** Slows down who tries passwords. */
export class LoginThrottle {
	readonly #now: () => number;
	readonly #failures = new Map<string, Failures>();

	/** @param now Tells the time in milliseconds. */
	constructor(now: () => number = Date.now) {
		this.#now = now;
	}

	/**
	 * Makes an attempt, after those before it of the same `who`. `attempt` tells whether the password was right.
	 *
	 * Throws `resource_exhausted` if there were too many wrong ones shortly before; then it is not tried.
	 */
	attempt(who: string, attempt: () => Promise<boolean>): Promise<boolean> {
		const failures = this.#remember(who);
		const turn = failures.turn.then(() => this.#try(who, failures, attempt));
		failures.turn = turn.catch(() => {});
		return turn;
	}

	async #try(who: string, failures: Failures, attempt: () => Promise<boolean>): Promise<boolean> {
		const waitMs = failures.nextTime - this.#now();
		if (waitMs > 0) {
			throw new MillraceError(
				"resource_exhausted",
				`${failures.count} wrong passwords in a row; try again in ${Math.ceil(waitMs / 1000)} s`,
			);
		}
		const isRight = await attempt();
		failures.lastTime = this.#now();
		if (isRight) {
			this.#failures.delete(who);
			failures.count = 0;
		} else {
			failures.count++;
			const excess = failures.count - free;
			failures.nextTime = excess < 0 ? 0 : failures.lastTime + Math.min(1_000 * 2 ** excess, longestWaitMs);
		}
		return isRight;
	}

	#remember(who: string): Failures {
		const now = this.#now();
		const known = this.#failures.get(who);
		const failures =
			known !== undefined && now - known.lastTime < forgetMs
				? known
				: { count: 0, nextTime: 0, lastTime: now, turn: Promise.resolve() };
		// The one that was used last comes last.
		this.#failures.delete(who);
		this.#failures.set(who, failures);
		if (this.#failures.size > mostRemembered) {
			// Not one that is slowed down, or made-up names would set it free.
			const [oldest] = [...this.#failures].find(([, { count }]) => count < free) ?? this.#failures.keys();
			this.#failures.delete(oldest as string);
		}
		return failures;
	}
}
