import { MillraceError } from "../../errors.js";

/** How long commits gather before those who follow are told, in milliseconds. */
const gatherMs = 100;

/**
 * Tells those who follow what is stored that something was committed. A follower notes the edition, reads what
 * there is, and waits for a later edition: so it misses nothing, and reads at most ten times a second.
 */
export class CommitNews {
	readonly #wakers = new Set<() => void>();
	#edition = 0;
	#timer: NodeJS.Timeout | undefined;
	#isClosed = false;

	/** Grows after commits. */
	get edition(): number {
		return this.#edition;
	}

	/** How many wait at this moment. */
	get waitingCount(): number {
		return this.#wakers.size;
	}

	/** Tells of a commit, together with those that follow it closely. */
	tell(): void {
		if (!this.#isClosed) {
			this.#timer ??= setTimeout(() => this.#publish(), gatherMs);
		}
	}

	/**
	 * Waits for an edition later than the given one. Resolves also when the signal is aborted.
	 *
	 * Throws `unavailable` once the server stops.
	 */
	async after(edition: number, signal: AbortSignal): Promise<void> {
		if (this.#edition === edition && !this.#isClosed && !signal.aborted) {
			await new Promise<void>((resolve) => {
				const wake = () => {
					this.#wakers.delete(wake);
					signal.removeEventListener("abort", wake);
					resolve();
				};
				this.#wakers.add(wake);
				signal.addEventListener("abort", wake);
			});
		}
		if (this.#isClosed) {
			throw new MillraceError("unavailable", "the server is stopping");
		}
	}

	/** Ends all waiting, since the server stops. */
	close(): void {
		this.#isClosed = true;
		this.#publish();
	}

	#publish(): void {
		clearTimeout(this.#timer);
		this.#timer = undefined;
		this.#edition++;
		for (const wake of this.#wakers) {
			wake();
		}
	}
}
