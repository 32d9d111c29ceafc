import { MillraceError, messageOf } from "../../errors.js";
import { CollectiveCaller, CollectiveOperation, CollectiveScope } from "../../gen/millrace/v1/rendezvous_pb.js";
import type { RendezvousMember } from "../../rendezvous/client.js";
import type { JsonValue } from "../../sdk/json.js";
import type { WorkerPlace } from "../distributed/environment.js";

/** What one worker tells the others of its part of a step. */
interface Told {
	/** Which step it is in, so that two that are in different ones do not take each other's values. */
	readonly what: string;
	readonly value?: JsonValue;
	/** Why it failed, if it did. */
	readonly error?: string;
}

/**
 * Workers that do something together, step by step. What fails on one of them fails on all, in the same step, and
 * they can go on together after that.
 */
export class Party {
	/** This worker's number among them, from 0. */
	readonly rank: number;
	readonly size: number;
	readonly #member: RendezvousMember;
	readonly #scope: CollectiveScope;

	private constructor(member: RendezvousMember, rank: number, size: number, scope: CollectiveScope) {
		this.#member = member;
		this.rank = rank;
		this.size = size;
		this.#scope = scope;
	}

	/** All workers of the run. */
	static ofWorld(member: RendezvousMember, { rank, size }: WorkerPlace): Party {
		return new Party(member, rank, size, CollectiveScope.WORLD);
	}

	/** All workers of this node. */
	static ofNode(member: RendezvousMember, { localRank, localSize }: WorkerPlace): Party {
		return new Party(member, localRank, localSize, CollectiveScope.NODE);
	}

	/** Only this worker. */
	static alone(member: RendezvousMember): Party {
		return new Party(member, 0, 1, CollectiveScope.WORLD);
	}

	/**
	 * Does this worker's part of a step, and returns what all parts returned, in rank order.
	 *
	 * Throws what the own part threw, else `aborted` naming the rank whose part failed.
	 */
	async all<T extends JsonValue>(what: string, work: () => T | Promise<T>): Promise<T[]> {
		const own = await attempt(what, work);
		if (this.size === 1) {
			return [unwrap<T>(own)];
		}
		const told = await this.#exchange(CollectiveOperation.ALLGATHER, own.told);
		if (own.told.error !== undefined) {
			throw own.thrown;
		}
		return told.map((other, rank) => this.#valueOf<T>(other, rank, what));
	}

	/** Does a step on the first of them only, and returns on each what it returned there. Throws as `all`. */
	async first<T extends JsonValue>(what: string, work: () => T | Promise<T>): Promise<T> {
		if (this.rank !== 0) {
			const [told] = await this.#exchange(CollectiveOperation.BROADCAST, { what });
			return this.#valueOf<T>(told, 0, what);
		}
		const own = await attempt(what, work);
		if (this.size > 1) {
			await this.#exchange(CollectiveOperation.BROADCAST, own.told);
		}
		return unwrap<T>(own);
	}

	async #exchange(operation: CollectiveOperation, told: Told): Promise<Told[]> {
		const payload = new TextEncoder().encode(JSON.stringify(told));
		const given = { scope: this.#scope, caller: CollectiveCaller.RUNTIME, operation, payload };
		const { payloads } = await this.#member.collective(given);
		return payloads.map((bytes) => JSON.parse(new TextDecoder().decode(bytes)) as Told);
	}

	#valueOf<T extends JsonValue>(told: Told | undefined, rank: number, what: string): T {
		const name = this.#scope === CollectiveScope.NODE ? `local rank ${rank}` : `rank ${rank}`;
		if (told?.what !== what) {
			throw new MillraceError(
				"failed_precondition",
				`${name} is in ${told?.what}, this worker in ${what}; all must call the same in the same order, and await each`,
			);
		}
		if (told.error !== undefined) {
			throw new MillraceError("aborted", `${what} failed on ${name}: ${told.error}`);
		}
		return told.value as T;
	}
}

interface Attempt {
	readonly told: Told;
	readonly thrown?: unknown;
}

async function attempt(what: string, work: () => JsonValue | Promise<JsonValue>): Promise<Attempt> {
	try {
		return { told: { what, value: await work() } };
	} catch (thrown) {
		return { told: { what, error: messageOf(thrown) }, thrown };
	}
}

function unwrap<T extends JsonValue>({ told, thrown }: Attempt): T {
	if (told.error !== undefined) {
		throw thrown;
	}
	return told.value as T;
}
