import { MillraceError } from "../../errors.js";
import { CollectiveCaller, CollectiveOperation, CollectiveScope } from "../../gen/millrace/v1/rendezvous_pb.js";
import type { RendezvousMember } from "../../rendezvous/client.js";
import type { JsonValue } from "../../sdk/json.js";
import { launcherNotice, placeFromEnvironment, type WorkerPlace } from "./environment.js";

/** Whether it was said by whose names this process knows its place. */
let wasNoticed = false;

/**
 * Which worker this is, and what the workers of a run tell each other. Every worker has to call the same
 * operations in the same order, and to await each; nobody's call ends before all have called.
 *
 * An operation throws `aborted` when a worker is lost: the message names its rank, its host, and how far it was.
 *
 * Python: `DistributedContext`
 */
export class DistributedContext implements WorkerPlace {
	readonly rank: number;
	readonly size: number;
	readonly localRank: number;
	readonly localSize: number;
	readonly crossRank: number;
	readonly crossSize: number;
	#member: RendezvousMember | undefined;
	#sharedCalls = 0;
	#isApart = false;

	constructor(place: WorkerPlace) {
		this.rank = place.rank;
		this.size = place.size;
		this.localRank = place.localRank;
		this.localSize = place.localSize;
		this.crossRank = place.crossRank;
		this.crossSize = place.crossSize;
	}

	/**
	 * Reads the place of this process from the environment; see `placeFromEnvironment`. Rank 0 says once on
	 * stderr by whose names, unless it is plain.
	 *
	 * Python: `DistributedContext.from_torch_distributed()` and the like
	 */
	static fromEnvironment(): DistributedContext {
		const place = placeFromEnvironment();
		const notice = wasNoticed ? undefined : launcherNotice();
		wasNoticed = true;
		if (notice !== undefined) {
			console.error(`millrace: ${notice}`);
		}
		return new DistributedContext(place);
	}

	/** Python: `get_rank` */
	getRank(): number {
		return this.rank;
	}

	/** Python: `get_size` */
	getSize(): number {
		return this.size;
	}

	/** Python: `get_local_rank` */
	getLocalRank(): number {
		return this.localRank;
	}

	/** Returns the number of nodes. Python: `get_num_agents` */
	getNumAgents(): number {
		return this.crossSize;
	}

	/** Gives the chief, rank 0, the values of all workers in rank order; the others get null. Python: `gather` */
	gather<T extends JsonValue>(value: T): Promise<T[] | null> {
		return this.#gather(CollectiveScope.WORLD, value);
	}

	/** Gives every worker the values of all workers in rank order. Python: `allgather` */
	allgather<T extends JsonValue>(value: T): Promise<T[]> {
		return this.#collect(CollectiveScope.WORLD, CollectiveOperation.ALLGATHER, value);
	}

	/** Gives every worker the value of the chief, rank 0. Python: `broadcast` */
	broadcast<T extends JsonValue>(value: T): Promise<T> {
		return this.#broadcast(CollectiveScope.WORLD, value);
	}

	/** As gather, among the workers of this node. Python: `gather_local` */
	gatherLocal<T extends JsonValue>(value: T): Promise<T[] | null> {
		return this.#gather(CollectiveScope.NODE, value);
	}

	/** As allgather, among the workers of this node. Python: `allgather_local` */
	allgatherLocal<T extends JsonValue>(value: T): Promise<T[]> {
		return this.#collect(CollectiveScope.NODE, CollectiveOperation.ALLGATHER, value);
	}

	/** As broadcast, among the workers of this node, from local rank 0. Python: `broadcast_local` */
	broadcastLocal<T extends JsonValue>(value: T): Promise<T> {
		return this.#broadcast(CollectiveScope.NODE, value);
	}

	/** Does nothing: the connection belongs to batchProcess, or to core.init. Python: `close` */
	close(): void {}

	/** @internal Connects the operations to a run. The runtime does so once it has joined. */
	bind(member: RendezvousMember): void {
		this.#member = member;
	}

	/** @internal How many operations were called that take other workers, those included that `apart` refused. */
	get sharedCalls(): number {
		return this.#sharedCalls;
	}

	/** @internal Refuses operations that take other workers, with `failed_precondition`, until `work` has ended. */
	async apart<R>(work: () => Promise<R>): Promise<R> {
		this.#isApart = true;
		try {
			return await work();
		} finally {
			this.#isApart = false;
		}
	}

	async #gather<T extends JsonValue>(scope: CollectiveScope, value: T): Promise<T[] | null> {
		const values = await this.#collect(scope, CollectiveOperation.GATHER, value);
		const isChief = (scope === CollectiveScope.NODE ? this.localRank : this.rank) === 0;
		return isChief ? values : null;
	}

	async #broadcast<T extends JsonValue>(scope: CollectiveScope, value: T): Promise<T> {
		const [first] = await this.#collect(scope, CollectiveOperation.BROADCAST, value);
		return first as T;
	}

	async #collect<T extends JsonValue>(scope: CollectiveScope, operation: CollectiveOperation, value: T): Promise<T[]> {
		const payload = encode(value);
		const size = scope === CollectiveScope.NODE ? this.localSize : this.size;
		if (size === 1) {
			return [decode<T>(payload)];
		}
		this.#sharedCalls++;
		if (this.#isApart) {
			throw new MillraceError(
				"failed_precondition",
				"a collective operation was called while this worker processes a batch again, in which the others take no part",
			);
		}
		if (this.#member === undefined) {
			throw new MillraceError(
				"failed_precondition",
				"the workers have not met yet; call collective operations in setup, onCheckpointStart or onFinish, or inside core.init",
			);
		}
		const caller = CollectiveCaller.USER;
		const { payloads } = await this.#member.collective({ scope, caller, operation, payload });
		return payloads.map((bytes) => decode<T>(bytes));
	}
}

/** The most bytes of JSON that one worker contributes. */
const maxBytes = 16 * 1024 * 1024;

function encode(value: JsonValue): Uint8Array {
	const text = JSON.stringify(value);
	if (text === undefined) {
		throw new MillraceError("invalid_argument", `a ${typeof value} cannot be sent to other workers; it must be JSON`);
	}
	const bytes = new TextEncoder().encode(text);
	if (bytes.length > maxBytes) {
		throw new MillraceError(
			"resource_exhausted",
			`the value has ${bytes.length} bytes as JSON; the most that a worker can send is ${maxBytes}`,
		);
	}
	return bytes;
}

function decode<T>(bytes: Uint8Array): T {
	return JSON.parse(new TextDecoder().decode(bytes)) as T;
}
