import type { MillraceError } from "../../errors.js";
import { maxMessageBytes } from "../channel.js";
import { refusedForNow } from "../pushback.js";
import { type Loan, MemoryPool } from "./memory-pool.js";

/** The most bytes of a request that asks for no memory: nearly all are this small. */
export const smallRequest = 64 * 1024;

/** How many times as long a packed message may become. */
const mostInflation = 1_032;

const mebibyte = 1024 * 1024;

/** The bytes of large requests that are on their way at a time: two of the largest. */
const receivedBytes = 64 * mebibyte;
/** The bytes of large requests that are handled at a time: a request takes several times its length then. */
const handledBytes = 32 * mebibyte;
/** How long a large request waits for memory, in milliseconds. */
const patienceMs = 30_000;
/** How many of them may wait. */
const mostWaiting = 200;
/** How fast one has to come while others wait, in bytes per millisecond: a slow network that many share is faster. */
const leastRate = 64;
/** How long it is held against a connection that a request of it came too slowly, in milliseconds. */
const grudgeMs = 60_000;
/** How long it may take to start, in milliseconds. */
const startMs = 1_000;

/** What becomes of a request that asks for memory and does not have it at once. One of both is called, once. */
export interface MemoryEvents {
	onLent(): void;
	/** It is to be refused, with this error. */
	onRefused(error: MillraceError): void;
}

/** The part of a request that has come. */
export interface Reception {
	/** Whether it may come. */
	readonly isLent: boolean;
	/** Counts bytes that have come. */
	take(bytes: number): void;
	/** Takes note that all has come, but for the word that it is all. */
	whole(): void;
	/** Gives the memory back. */
	end(): void;
}

interface Coming {
	readonly bytes: number;
	readonly connection: object;
	readonly refuse: (error: MillraceError) => void;
	received: number;
	/** Since when all of it has come. */
	wholeSince: number;
	/** Since when it may come. */
	since: number;
}

/**
 * The memory of a server for large requests. Who finds none waits, and is refused at last; a request that comes too slowly
 * while others wait is refused too, and its connection has to let others go first from then on.
 */
export class RequestMemory {
	readonly #receiving = new MemoryPool(receivedBytes);
	readonly #handling = new MemoryPool(handledBytes);
	readonly #coming = new Map<Loan, Coming>();
	/** How often requests of a connection came too slowly, and when the last one did. */
	readonly #slow = new WeakMap<object, { readonly count: number; readonly at: number }>();
	#watch: NodeJS.Timeout | undefined;

	/** The bytes that are lent. */
	get bytes(): number {
		return this.#receiving.lent + this.#handling.lent;
	}

	/** Asks for the memory to receive a large request. */
	receive(bytes: number, connection: object, { onLent, onRefused }: MemoryEvents): Reception {
		const end = () => {
			this.#coming.delete(loan);
			loan.end();
			if (this.#coming.size === 0) {
				clearInterval(this.#watch);
				this.#watch = undefined;
			}
		};
		const refuse = (error: MillraceError) => {
			end();
			onRefused(error);
		};
		const onLentLater = () => {
			coming.since = performance.now();
			onLent();
		};
		const coming: Coming = { bytes, connection, refuse, received: 0, wholeSince: Infinity, since: performance.now() };
		const loan = this.#receiving.ask(bytes, onLentLater, this.#slownessOf(connection));
		loan.waitAtMost(patienceMs, () => refuse(noMemory(bytes)));
		this.#coming.set(loan, coming);
		this.#watch ??= setInterval(() => this.#refuseSlow(), startMs).unref();
		this.#refuseLast();
		return {
			get isLent() {
				return loan.isLent;
			},
			take(received) {
				coming.received += received;
			},
			whole() {
				coming.received = bytes;
				coming.wholeSince = performance.now();
			},
			end,
		};
	}

	/** Asks for the memory to handle a large request that has come. */
	handle(bytes: number, { onLent, onRefused }: MemoryEvents): Loan {
		const loan = this.#handling.ask(bytes, onLent);
		loan.waitAtMost(patienceMs, () => onRefused(noMemory(bytes)));
		return loan;
	}

	#slownessOf(connection: object): number {
		const { count, at } = this.#slow.get(connection) ?? { count: 0, at: 0 };
		return performance.now() - at < grudgeMs ? count : 0;
	}

	#refuseSlow(): void {
		if (this.#receiving.waiting.length === 0) {
			return;
		}
		const now = performance.now();
		for (const [loan, coming] of [...this.#coming]) {
			const { bytes, connection, received, since, refuse } = coming;
			const ms = now - since;
			const isSlow = received < Math.min(bytes, (ms - startMs) * leastRate);
			if (loan.isLent && (isSlow || now - coming.wholeSince > startMs)) {
				this.#slow.set(connection, { count: this.#slownessOf(connection) + 1, at: now });
				refuse(
					refusedForNow(
						`of the ${bytes} bytes of the request ${received} came within ${(ms / 1_000).toFixed(1)} s` +
							`${received < bytes ? "" : ", but not its end"}, while other large requests waited for the server's memory; ` +
							"send less at a time",
						startMs,
					),
				);
			}
		}
	}

	/** Keeps those who wait few: each has begun to come, as far as its caller may send by itself. */
	#refuseLast(): void {
		const { waiting } = this.#receiving;
		const last = waiting.length > mostWaiting ? waiting.at(-1) : undefined;
		if (last !== undefined) {
			this.#coming.get(last)?.refuse(noMemory(last.bytes));
		}
	}
}

/** Returns the most bytes that a packed request may have once it is unpacked. */
export function mostUnpacked(bytes: number): number {
	return Math.min(maxMessageBytes, bytes * mostInflation);
}

function noMemory(bytes: number): MillraceError {
	return refusedForNow(
		`the server has no memory for a request of ${bytes} bytes, as it has other large ones; send less at a time`,
		startMs,
	);
}
