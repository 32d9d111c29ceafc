import { refusedForNow } from "../pushback.js";

/** How many calls a server has, and each connection at most. */
export interface OpenCallLimits {
	/** Of a connection, streams included. */
	readonly calls: number;
	/** Of a connection. */
	readonly streams: number;
	/** Of all connections. As they come near to it each may have fewer, down to a few. */
	readonly all: number;
}

interface Counts {
	calls: number;
	streams: number;
	/** The calls that count for the connection alone. */
	free: number;
}

/** How many calls a connection may always have. */
export const fewestCalls = 4;
/** One connection may take this part of what is free. */
const share = 8;

/** How long somebody waits who was refused, in milliseconds: about as long as a call takes on a busy server. */
const waitMs = 100;

/** The calls that are under way, by connection. */
export class OpenCalls {
	readonly #limits: OpenCallLimits;
	readonly #byConnection = new Map<string, Counts>();
	#count = 0;

	constructor(limits: OpenCallLimits) {
		this.#limits = limits;
	}

	/** The number of calls under way that count for all. */
	get count(): number {
		return this.#count;
	}

	/** The number of calls that a connection has under way. */
	countOf(connection: string): number {
		return this.#byConnection.get(connection)?.calls ?? 0;
	}

	/**
	 * Counts a call of a connection as begun. Returns a function that counts it as ended.
	 *
	 * Throws `resource_exhausted`, for now, if the connection has too many.
	 *
	 * @param isFree It counts for its connection alone: it is there for as long as its caller is, and takes little.
	 */
	begin(connection: string, isStream: boolean, isFree = false): () => void {
		const counts = this.#byConnection.get(connection) ?? { calls: 0, streams: 0, free: 0 };
		const free = Math.floor((this.#limits.all - this.#count) / share);
		const [open, most, what] = isStream
			? ([counts.streams, this.#limits.streams, "streams open"] as const)
			: ([counts.calls, this.#limits.calls, "calls under way"] as const);
		if (open >= most) {
			throw refusedForNow(
				`this connection has ${open} ${what}, the most that a connection may have; let some end first, open another ` +
					"connection, or start the server with a larger --max-streams-per-connection",
				waitMs,
			);
		}
		if (!isFree && counts.calls - counts.free >= Math.max(fewestCalls, free)) {
			throw refusedForNow(
				`the server has ${this.#count} calls under way, and ${counts.calls - counts.free} of them are this connection's, the most ` +
					"that it may have meanwhile; let some end first",
				waitMs,
			);
		}
		this.#byConnection.set(connection, counts);
		this.#add(counts, isStream, isFree, 1);
		let isOver = false;
		return () => {
			if (!isOver) {
				isOver = true;
				this.#add(counts, isStream, isFree, -1);
				if (counts.calls === 0) {
					this.#byConnection.delete(connection);
				}
			}
		};
	}

	#add(counts: Counts, isStream: boolean, isFree: boolean, sign: 1 | -1): void {
		this.#count += isFree ? 0 : sign;
		counts.calls += sign;
		counts.streams += isStream ? sign : 0;
		counts.free += isFree ? sign : 0;
	}
}
