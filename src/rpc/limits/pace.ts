/** How fast something may be done for each of many. */
export interface PaceOptions {
	/** How often at once. */
	readonly burst: number;
	/** How far apart in the long run, in milliseconds. */
	readonly apartMs: number;
	/** How long one waits at most, in milliseconds. Default: as long as it takes. */
	readonly mostMs?: number;
}

/** Makes those wait who want something too often: the oftener, the longer. */
export class Pace {
	readonly #options: PaceOptions;
	readonly #now: () => number;
	/** Up to when each has used its time, those first who came the longest ago. */
	readonly #used = new Map<string, number>();

	/** @param now Tells the time in milliseconds, from any start. */
	constructor(options: PaceOptions, now: () => number = () => performance.now()) {
		this.#options = options;
		this.#now = now;
	}

	/** The number of those that are remembered. */
	get size(): number {
		return this.#used.size;
	}

	/** Tells how long someone has to wait by now, in milliseconds. */
	waitOf(name: string): number {
		const now = this.#now();
		return Math.max(0, (this.#used.get(name) ?? now) - now);
	}

	/** Counts one time for someone, and returns how long that has to wait, in milliseconds. */
	count(name: string): number {
		const { mostMs = Number.POSITIVE_INFINITY } = this.#options;
		const now = this.#now();
		const used = Math.min(this.#next(name, now), now + mostMs);
		this.#use(name, used);
		return Math.max(0, used - now);
	}

	/** Counts one time for someone who has not to wait. Returns how long someone has to who does, in milliseconds, else 0. */
	take(name: string): number {
		const now = this.#now();
		const next = this.#next(name, now);
		if (next > now) {
			return next - now;
		}
		this.#use(name, next);
		return 0;
	}

	/** Returns when someone's next time is. */
	#next(name: string, now: number): number {
		const { burst, apartMs } = this.#options;
		this.#forget(now);
		return Math.max((this.#used.get(name) ?? Number.NEGATIVE_INFINITY) + apartMs, now - (burst - 1) * apartMs);
	}

	#use(name: string, time: number): void {
		this.#used.delete(name);
		this.#used.set(name, time);
	}

	/** Forgets those who may have a whole burst again. */
	#forget(now: number): void {
		const { burst, apartMs } = this.#options;
		for (const [name, used] of this.#used) {
			if (now - used < burst * apartMs) {
				return;
			}
			this.#used.delete(name);
		}
	}
}
