/** The memory that answers on their way may take before those who read least are told to wait, in bytes. */
const unreadBytes = 16 * 1024 * 1024;
/** How many times its length an answer takes that waits to be sent: its stream holds the rows that it was made of, too. */
const weight = 3;
/** How many answers are read from the database and from files at a time: the database reads two, and others read too. */
const mostTurns = 2;
/** How long an answer may be unread while there are too many, in milliseconds, besides the time that a slow network takes. */
const patienceMs = 5_000;
/** What a slow network carries, in bytes per millisecond. */
const leastRate = 256;
/** How long a connection comes last after a stream of it was cut, in milliseconds. */
const grudgeMs = 60_000;
/** Which part of the memory those may have together who come last. */
const lastShare = 4;

interface Unread {
	readonly connection: string;
	readonly bytes: number;
	readonly since: number;
	readonly cut: () => void;
}

type Waiting = Map<string, Set<() => void>>;

/**
 * The answers of a server that are on their way to their callers. While they are too many, callers who have not taken
 * theirs get no more, and the streams that nobody has read for the longest are cut; their connections come last from then
 * on.
 */
export class UnreadAnswers {
	/** Those that wait the longest first. */
	readonly #unread = new Set<Unread>();
	readonly #byConnection = new Map<string, number>();
	/** Who waits for a turn, by connection; the connections take turns. */
	readonly #waiting: Waiting = new Map();
	/** The same of those who come last. */
	readonly #last: Waiting = new Map();
	/** The connections of streams that were cut, and until when that is held against them. */
	readonly #idle = new Map<string, number>();
	#turns = 0;
	#bytes = 0;
	#watch: NodeJS.Timeout | undefined;

	/** About the memory that they take, in bytes. */
	get bytes(): number {
		return this.#bytes;
	}

	/**
	 * Counts an answer that was sent. Returns a function that counts it as taken.
	 *
	 * @param cut Ends the call, if nobody takes it for too long.
	 */
	add(connection: string, length: number, cut: () => void): () => void {
		const unread = { connection, bytes: length * weight, since: performance.now(), cut };
		this.#unread.add(unread);
		this.#count(unread, 1);
		this.#watch ??= setInterval(() => this.#sweep(), 1_000).unref();
		return () => {
			if (this.#unread.delete(unread)) {
				this.#count(unread, -1);
				this.#next();
			}
		};
	}

	/**
	 * Reads what is to be sent next, in its turn.
	 *
	 * Throws the reason of the signal if it is aborted before.
	 */
	async inTurn<T>(connection: string, signal: AbortSignal, read: () => Promise<T>): Promise<T> {
		if (this.#turns >= mostTurns || this.#waiting.size > 0 || !this.#mayHaveMore(connection)) {
			await this.#turn(connection, signal);
		} else {
			this.#turns++;
		}
		try {
			return await read();
		} finally {
			this.#turns--;
			this.#next();
		}
	}

	#turn(connection: string, signal: AbortSignal): Promise<void> {
		return new Promise((resolve, reject) => {
			const begin = () => {
				signal.removeEventListener("abort", onAbort);
				this.#turns++;
				resolve();
			};
			const onAbort = () => {
				for (const waiting of [this.#waiting, this.#last]) {
					const queue = waiting.get(connection);
					if (queue?.delete(begin) && queue.size === 0) {
						waiting.delete(connection);
					}
				}
				reject(signal.reason);
			};
			if (signal.aborted) {
				reject(signal.reason);
				return;
			}
			signal.addEventListener("abort", onAbort, { once: true });
			const waiting = this.#idle.has(connection) ? this.#last : this.#waiting;
			const queue = waiting.get(connection) ?? new Set();
			waiting.set(connection, queue.add(begin));
			this.#next();
		});
	}

	/** Gives turns to those who may have them. */
	#next(): void {
		for (const waiting of [this.#waiting, this.#last]) {
			for (const [connection, queue] of waiting) {
				const isFull = waiting === this.#last && this.#bytes >= unreadBytes / lastShare;
				if (this.#turns >= mostTurns || this.#bytes >= 2 * unreadBytes || isFull) {
					break;
				}
				const [begin] = queue;
				if (begin !== undefined && this.#mayHaveMore(connection)) {
					queue.delete(begin);
					waiting.delete(connection);
					if (queue.size > 0) {
						waiting.set(connection, queue);
					}
					begin();
				}
			}
		}
	}

	#mayHaveMore(connection: string): boolean {
		if (this.#idle.has(connection)) {
			return this.#bytes < unreadBytes / lastShare;
		}
		// Those who have taken all that they asked for are not to suffer from those who have not.
		return this.#bytes < unreadBytes || (this.#bytes < 2 * unreadBytes && !this.#byConnection.has(connection));
	}

	/** Cuts the streams that nobody reads, and forgets who did not. */
	#sweep(): void {
		const now = performance.now();
		for (const { connection, bytes, since, cut } of this.#unread) {
			const isNeeded = this.#bytes >= unreadBytes || (this.#last.size > 0 && this.#idle.has(connection));
			if (isNeeded && now - since > patienceMs + bytes / weight / leastRate) {
				this.#idle.set(connection, now + grudgeMs);
				move(connection, this.#waiting, this.#last);
				cut();
			}
		}
		for (const [connection, until] of this.#idle) {
			if (until < now) {
				this.#idle.delete(connection);
				move(connection, this.#last, this.#waiting);
			}
		}
		if (this.#unread.size === 0 && this.#idle.size === 0) {
			clearInterval(this.#watch);
			this.#watch = undefined;
		}
	}

	#count({ connection, bytes }: Unread, sign: 1 | -1): void {
		this.#bytes += sign * bytes;
		const left = (this.#byConnection.get(connection) ?? 0) + sign * bytes;
		if (left === 0) {
			this.#byConnection.delete(connection);
		} else {
			this.#byConnection.set(connection, left);
		}
	}
}

function move(connection: string, from: Waiting, to: Waiting): void {
	const queue = from.get(connection);
	if (queue !== undefined) {
		from.delete(connection);
		to.set(connection, queue);
	}
}
