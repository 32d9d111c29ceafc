import type { Database } from "./db/database.js";
import { hasOpenSender, newestLine } from "./db/trial-logs.js";
import { getTrialRow } from "./db/trials.js";

/** How long it has to be quiet after a trial's end until its log has ended, in milliseconds. */
const quietMs = 2_000;

/**
 * How long senders are waited for that have not said that they have no more, in milliseconds after the trial's end, or
 * after the server's start: a sender comes back within some seconds of that.
 */
const senderMs = 15_000;

/**
 * Follows the log of a trial: tells when there may be more of it, and when it has ended. The last lines come after the
 * trial's end, as workers print until theirs.
 */
export class LogFollow {
	readonly #db: Database;
	readonly #trialId: number;
	readonly #serverStart: number;
	readonly #signal: AbortSignal;
	#edition = 0;
	#newest: number | undefined;
	#newestTime = 0;
	#restMs: number | undefined;

	/** @param signal Aborted when nobody follows any more. */
	constructor(db: Database, trialId: number, serverStart: number, signal: AbortSignal) {
		this.#db = db;
		this.#trialId = trialId;
		this.#serverStart = serverStart;
		this.#signal = signal;
	}

	/**
	 * Looks, before all that there is is read, whether that is all for ever.
	 *
	 * Throws `not_found` if the trial does not exist any more.
	 */
	async isLastReading(): Promise<boolean> {
		this.#edition = this.#db.news.edition;
		const { end_time: endTime } = await getTrialRow(this.#db, this.#trialId);
		const newest = await newestLine(this.#db, this.#trialId);
		const now = Date.now();
		if (newest !== this.#newest) {
			// What was there at the first look may be old.
			this.#newestTime = this.#newest === undefined ? 0 : now;
			this.#newest = newest;
		}
		if (endTime === null) {
			this.#restMs = undefined;
			return false;
		}
		const end = Math.max(endTime, this.#serverStart);
		const isAwaited = now < end + senderMs && (await hasOpenSender(this.#db, this.#trialId));
		this.#restMs = Math.max(end + (isAwaited ? senderMs : quietMs), this.#newestTime + quietMs) - now;
		return this.#restMs <= 0;
	}

	/**
	 * Waits until there may be more than at the last look.
	 *
	 * Throws `unavailable` if the server stops.
	 */
	async untilMore(): Promise<void> {
		const signal =
			this.#restMs === undefined
				? this.#signal
				: AbortSignal.any([this.#signal, AbortSignal.timeout(Math.ceil(this.#restMs))]);
		await this.#db.news.after(this.#edition, signal);
	}
}
