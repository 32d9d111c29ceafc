/** How fast something may be done for each of many. */
export interface PaceOptions {
	/** How often at once. */
	readonly burst: number;
	/** How far apart in the long run, in milliseconds. */
	readonly apartMs: number;
	/** How long one waits at most, in milliseconds. */
	readonly mostMs: number;
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
		const { burst, apartMs, mostMs } = this.#options;
		const now = this.#now();
		this.#forget(now);
		const earliest = now - (burst - 1) * apartMs;
		const used = Math.min(Math.max((this.#used.get(name) ?? 0) + apartMs, earliest), now + mostMs);
		this.#used.delete(name);
		this.#used.set(name, used);
		return Math.max(0, used - now);
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
