import { randomUUID } from "node:crypto";
import { isMillraceError } from "../errors.js";
import type { LogService } from "../gen/millrace/v1/log_service_pb.js";
import { cutLine } from "../log-line.js";
import type { RpcClient } from "../rpc/client.js";
import { pushbackOf } from "../rpc/pushback.js";
import { LogQueue, type LogQueueBounds, type NewLogEntry } from "./log-queue.js";

/** How long lines gather before they are sent, in milliseconds: who prints a line at a time shall not cost a commit each. */
const gatherMs = 100;

/** How long one call is repeated, in milliseconds. It is begun again then. */
const retryMs = 60_000;

/** Where lines are sent, and what becomes of them. */
export interface LogShipperOptions {
	readonly logs: Pick<RpcClient<typeof LogService>, "writeLogs">;
	readonly trialId: number;
	readonly bounds?: LogQueueBounds | undefined;
	/** Called with how many lines were stored, or given up. */
	readonly onSettled?: ((count: number) => void) | undefined;
}

/**
 * Sends lines to the server, many in a call, and never stands in the way of who prints them: nothing here waits or
 * throws but `close`, which waits for so long as it is told. While the server is away lines wait in a bounded queue.
 */
export class LogShipper {
	readonly #options: LogShipperOptions;
	readonly #queue: LogQueue;
	readonly #clientId = randomUUID();
	readonly #stopped = new AbortController();
	#sequence = 0n;
	#sending: Promise<void> | undefined;
	#isClosing = false;
	/** Ends the gathering. */
	#hurry: (() => void) | undefined;
	#onAnswer: () => void = () => {};

	constructor(options: LogShipperOptions) {
		this.#options = options;
		this.#queue = new LogQueue(options.bounds);
	}

	/** Makes the sender known at once, so that those who follow the trial's log wait for its last lines. */
	announce(): void {
		this.#sending ??= this.#sendAll(true);
	}

	/** Adds a line. */
	add(entry: NewLogEntry): void {
		if (this.#stopped.signal.aborted || this.#isClosing) {
			this.#settle(1);
			return;
		}
		this.#settle(this.#queue.push({ ...entry, text: cutLine(entry.text) }));
		this.#sending ??= this.#sendAll(false);
	}

	/** Counts lines that were dropped on their way here. */
	countDropped(count: number): void {
		this.#queue.countDropped(count);
	}

	/** Sends what is queued without waiting for more. */
	flush(): void {
		this.#hurry?.();
	}

	/**
	 * Sends what is queued, and ends: also when the server takes nothing for `patienceMs`, or at first for `firstMs`, and in
	 * any case after twelve times the former. Returns how many lines could not be sent.
	 */
	async close(patienceMs: number, firstMs = patienceMs): Promise<number> {
		this.#isClosing = true;
		const stop = () => this.#stopped.abort();
		let patience = setTimeout(stop, firstMs);
		const most = setTimeout(stop, 12 * patienceMs);
		this.#onAnswer = () => {
			clearTimeout(patience);
			patience = setTimeout(stop, patienceMs);
		};
		this.flush();
		await this.#sending;
		if (this.#sequence > 0n) {
			await this.#send([], true);
		}
		clearTimeout(patience);
		clearTimeout(most);
		stop();
		return this.#queue.unsaidCount;
	}

	async #sendAll(isAnnouncing: boolean): Promise<void> {
		if (isAnnouncing) {
			await this.#send([], false);
		}
		while (this.#queue.length > 0 && !this.#stopped.signal.aborted) {
			await this.#gather();
			const { entries, count } = this.#queue.take();
			if (!(await this.#send(entries, false))) {
				this.#queue.countDropped(count);
			}
			this.#settle(count);
		}
		this.#sending = undefined;
	}

	#gather(): Promise<void> | undefined {
		if (this.#isClosing) {
			return undefined;
		}
		return new Promise((resolve) => {
			const timer = setTimeout(resolve, gatherMs);
			timer.unref();
			this.#hurry = () => {
				clearTimeout(timer);
				resolve();
			};
		});
	}

	/** Sends one call until it is answered. Returns whether its lines are stored. */
	async #send(entries: readonly NewLogEntry[], last: boolean): Promise<boolean> {
		const { signal } = this.#stopped;
		const { logs, trialId } = this.#options;
		const request = { clientId: this.#clientId, sequence: ++this.#sequence, trialId, entries: [...entries], last };
		while (!signal.aborted) {
			try {
				await logs.writeLogs(request, { signal, retryMs });
				this.#onAnswer();
				return true;
			} catch (error) {
				if (isMillraceError(error, "not_found") || isMillraceError(error, "unimplemented")) {
					// The trial was deleted, or the server is one that keeps no logs.
					this.#stopped.abort();
				} else if (!isMillraceError(error, "unavailable") && pushbackOf(error) === undefined) {
					return false;
				}
			}
		}
		return false;
	}

	#settle(count: number): void {
		if (count > 0) {
			this.#options.onSettled?.(count);
		}
	}
}
