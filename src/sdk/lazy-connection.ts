import { MillraceError } from "../errors.js";
import type { Connection } from "./connection.js";

/** A connection that is opened at its first use. All objects of one client share it. */
export class LazyConnection {
	readonly #open: () => Promise<Connection>;
	#opened: Promise<Connection> | undefined;
	#closed = false;

	/** @param open Opens the connection. After a failure, the next use tries again. */
	constructor(open: () => Promise<Connection>) {
		this.#open = open;
	}

	/**
	 * Returns the connection.
	 *
	 * Throws `failed_precondition` after `close`.
	 */
	get(): Promise<Connection> {
		if (this.#closed) {
			return Promise.reject(new MillraceError("failed_precondition", "this client is closed; make a new one"));
		}
		this.#opened ??= this.#attempt();
		return this.#opened;
	}

	async #attempt(): Promise<Connection> {
		// For the stack of an error, as in `pending`.
		await undefined;
		try {
			return await this.#open();
		} catch (error) {
			this.#opened = undefined;
			throw error;
		}
	}

	/** Ends the connection, also one that is just being opened. */
	async close(): Promise<void> {
		this.#closed = true;
		const connection = await this.#opened?.catch(() => undefined);
		connection?.close();
	}
}
