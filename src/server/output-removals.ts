import { setTimeout as delay } from "node:timers/promises";
import { isMillraceError } from "../errors.js";
import type { ErrorLog } from "../rpc/status.js";
import { openStorage } from "../storage/open-storage.js";
import type { Database } from "./db/database.js";
import { forgetOutputRemoval, listOutputRemovals } from "./db/experiment-deletion.js";

const hourMs = 60 * 60 * 1000;
/** How long a caller waits for a removal, in milliseconds. It goes on without them. */
const removalWaitMs = 10_000;

/** Removes the output directories of trials that were deleted, also those that an earlier server left behind. */
export class OutputRemovals {
	readonly #db: Database;
	readonly #log: ErrorLog;
	readonly #timer: NodeJS.Timeout;
	#working: Promise<void> = Promise.resolve();
	#isClosed = false;

	/** @param log Receives why something could not be removed. */
	constructor(db: Database, log: ErrorLog) {
		this.#db = db;
		this.#log = log;
		this.#timer = setInterval(() => this.#begin(), hourMs);
		this.#timer.unref();
		// What was to be removed when the last server ended.
		this.#begin();
	}

	/** Removes all that is noted. It waits for the end, but not long. */
	async remove(): Promise<void> {
		const done = new AbortController();
		const removal = this.#begin().finally(() => done.abort());
		await Promise.race([removal, delay(removalWaitMs, undefined, { signal: done.signal }).catch(() => {})]);
	}

	/** Ends the work. What is still to be removed is removed by the next server. */
	async close(): Promise<void> {
		this.#isClosed = true;
		clearInterval(this.#timer);
		await this.#working;
	}

	/** Removes all that is noted, after what is under way. */
	#begin(): Promise<void> {
		this.#working = this.#working
			.then(() => this.#removeAll())
			.catch((error) => this.#log("outputs of trials that were deleted stay in the storage", error));
		return this.#working;
	}

	async #removeAll(): Promise<void> {
		if (this.#isClosed) {
			return;
		}
		for (const { uuid, storage } of await listOutputRemovals(this.#db)) {
			if (this.#isClosed) {
				return;
			}
			try {
				await openStorage(storage).delete(uuid);
				await this.#db.write((tx) => forgetOutputRemoval(tx, uuid));
			} catch (error) {
				// The storage may come back; the next server, or the next hour, tries again.
				const what = `the outputs ${uuid} of a deleted trial stay in the storage until it can be reached`;
				this.#log(what, isMillraceError(error) ? error.message : error);
			}
		}
	}
}
