import { timingSafeEqual } from "node:crypto";
import { isMillraceError, MillraceError } from "../../errors.js";
import type { UserCaller, WorkerCaller } from "../../rpc/gate.js";
import type { Database } from "../db/database.js";
import { endOf, findTokenRow, type TokenRow } from "../db/tokens.js";
import { hasAccounts } from "../db/users.js";
import { digestOf } from "./token-secret.js";

/** Whose calls a token makes. */
export interface Session {
	readonly tokenId: number;
	readonly userId: number;
	readonly username: string;
	readonly caller: UserCaller | WorkerCaller;
}

interface Known extends Session {
	/** When the token ends; infinite if it may go on for ever. */
	readonly endTime: number;
	/** When it has to be read again: a worker's token ends with its run. */
	readonly readAgainTime: number;
	/** The calls under way, each with what ends it. */
	readonly calls: Set<(reason: MillraceError) => unknown>;
}

/** How many tokens are remembered that make no call at the moment. */
const mostRemembered = 10_000;
/** For how long a worker's token is remembered, in milliseconds. */
const rememberWorkerMs = 10_000;
/** How often it is looked for tokens that have ended, in milliseconds. */
const tickMs = 1_000;

/** Who has logged in, and the calls that they have under way. */
export class Sessions {
	readonly #db: Database;
	readonly #now: () => number;
	readonly #known = new Map<string, Known>();
	/** The streams of those who did not have to log in. */
	readonly #anonymous = new Set<(reason: MillraceError) => unknown>();
	readonly #ticks: NodeJS.Timeout;
	/** Counts what may have made a token invalid that was just being read. */
	#changes = 0;
	#hasAccounts: boolean;

	private constructor(db: Database, accounts: boolean, now: () => number) {
		this.#db = db;
		this.#now = now;
		this.#hasAccounts = accounts;
		this.#ticks = setInterval(() => this.#endExpired(), tickMs);
		this.#ticks.unref();
	}

	/** Makes the sessions of a database. `now` tells the time in milliseconds since 1970. */
	static async open(db: Database, now: () => number = Date.now): Promise<Sessions> {
		return new Sessions(db, await hasAccounts(db), now);
	}

	/** Whether callers have to log in. */
	get hasAccounts(): boolean {
		return this.#hasAccounts;
	}

	/**
	 * Notes a call that is under way with a token. `stop` is called when it may not go on. Returns whose token it is, and
	 * what takes the note away.
	 *
	 * Throws `unauthenticated` if it is no token, or one that is no longer valid.
	 */
	async enter(
		secret: string,
		stop: (reason: MillraceError) => unknown,
	): Promise<{ session: Session; leave: () => void }> {
		const digest = digestOf(secret);
		const key = digest.toString("base64");
		for (;;) {
			const session = await this.#find(digest, key);
			// Meanwhile it may have been revoked.
			if (this.#known.get(key) === session) {
				session.calls.add(stop);
				return { session, leave: () => session.calls.delete(stop) };
			}
		}
	}

	/** Tells whether a secret is that of a token which was revoked. */
	async wasRevoked(secret: string): Promise<boolean> {
		const row = await findTokenRow(this.#db, digestOf(secret));
		return row !== undefined && row.revoke_time !== null;
	}

	/** Notes a stream of somebody who did not have to log in, as `enter` does. */
	enterAnonymous(stop: (reason: MillraceError) => unknown): () => void {
		this.#anonymous.add(stop);
		return () => this.#anonymous.delete(stop);
	}

	/** Ends what calls with a token, which was revoked. */
	tokenRevoked(tokenId: number): void {
		this.#end((known) => known.tokenId === tokenId, revoked());
	}

	/** Takes note of a user who was changed, and whose tokens but one were revoked if `areRevoked`. */
	async userChanged(userId: number, { areRevoked = false, exceptTokenId = 0 } = {}): Promise<void> {
		if (areRevoked) {
			this.#end((known) => known.userId === userId && known.tokenId !== exceptTokenId, revoked());
		}
		this.#changes++;
		for (const [key, known] of this.#known) {
			if (known.userId === userId) {
				// Read again by the next call, with what has changed; the calls under way go on.
				this.#known.set(key, { ...known, readAgainTime: 0 });
			}
		}
		await this.accountsChanged();
	}

	/** Takes note of a user who was created or changed: with the first account, everyone has to log in. */
	async accountsChanged(): Promise<void> {
		this.#hasAccounts = await hasAccounts(this.#db);
		if (this.#hasAccounts) {
			for (const stop of [...this.#anonymous]) {
				stop(new MillraceError("unauthenticated", "this server has accounts from now on; log in, and call again"));
			}
		}
	}

	/** Ends the watch over tokens that expire. */
	close(): void {
		clearInterval(this.#ticks);
	}

	async #find(digest: Buffer, key: string): Promise<Known> {
		const known = this.#known.get(key);
		if (known !== undefined && this.#now() < Math.min(known.endTime, known.readAgainTime)) {
			// The one that was used last comes last.
			this.#known.delete(key);
			this.#known.set(key, known);
			return known;
		}
		for (;;) {
			const changes = this.#changes;
			const row = await findTokenRow(this.#db, digest);
			if (changes === this.#changes) {
				const read = this.#checked(row, digest, this.#known.get(key)?.calls ?? new Set());
				this.#known.set(key, read);
				this.#forgetOldest();
				return read;
			}
		}
	}

	#checked(row: TokenRow | undefined, digest: Buffer, calls: Known["calls"]): Known {
		if (row === undefined || !timingSafeEqual(row.digest, digest)) {
			throw new MillraceError("unauthenticated", "the token is not one of this server; log in again");
		}
		const { id: tokenId, user_id: userId, username, trial_id: trialId } = row;
		if (row.revoke_time !== null) {
			throw revoked();
		}
		if (row.active === 0) {
			throw new MillraceError("unauthenticated", `user ${JSON.stringify(username)} is not active; ask an admin`);
		}
		const endTime = endOf(row) ?? Number.POSITIVE_INFINITY;
		if (endTime <= this.#now()) {
			throw expired();
		}
		const isWorker = trialId !== null;
		return {
			...{ tokenId, userId, username, endTime, calls },
			readAgainTime: isWorker ? this.#now() + rememberWorkerMs : Number.POSITIVE_INFINITY,
			caller: isWorker
				? { kind: "worker", trialId, tokenId }
				: { kind: "user", userId, username, isAdmin: row.admin !== 0, tokenId },
		};
	}

	#endExpired(): void {
		const now = this.#now();
		this.#end((known) => known.endTime <= now, expired());
		for (const [key, known] of this.#known) {
			// A worker's token ends with its run, which nobody tells who only reads on.
			if (known.calls.size > 0 && known.readAgainTime <= now) {
				this.#find(Buffer.from(key, "base64"), key).catch((error) => {
					if (isMillraceError(error, "unauthenticated")) {
						this.#end((each) => each.tokenId === known.tokenId, error);
					}
				});
			}
		}
	}

	#end(fits: (known: Known) => boolean, reason: MillraceError): void {
		this.#changes++;
		for (const [key, known] of [...this.#known]) {
			if (fits(known)) {
				this.#known.delete(key);
				for (const stop of [...known.calls]) {
					stop(reason);
				}
			}
		}
	}

	#forgetOldest(): void {
		for (const [key, { calls }] of this.#known) {
			if (this.#known.size <= mostRemembered) {
				return;
			}
			if (calls.size === 0) {
				this.#known.delete(key);
			}
		}
	}
}

function revoked(): MillraceError {
	return new MillraceError("unauthenticated", "the token was revoked; log in again");
}

function expired(): MillraceError {
	return new MillraceError("unauthenticated", "the token has expired; log in again");
}
