import { MillraceError } from "../../errors.js";
import { sleep } from "../retry.js";
import { CallRates } from "./call-rates.js";
import { type Limits, maxMetadataBytes } from "./limits.js";
import { fewestCalls, OpenCalls } from "./open-calls.js";
import { Pace } from "./pace.js";

/** About how many calls are under way in all while each connection has few. */
const maxCalls = 1_200;

/** Calls of health and reflection, which everyone may make: they take no others' place. */
const healthLimits = { calls: 64, streams: 64, all: 400 };

/**
 * What a call is to its limits: one answer; a stream of answers; a stream both ways, which a member has for as long as it is
 * one; or one of health or reflection.
 */
export type CallKind = "call" | "stream" | "talk" | "health";

/** How many calls the callers of a server make, how often, and with how much metadata, by any door. */
export class CallLimits {
	readonly #rates: CallRates;
	readonly #open: OpenCalls;
	readonly #openOfHealth = new OpenCalls(healthLimits);
	/** The refusals of each connection. */
	readonly #refusals = new Pace({ burst: 10, apartMs: 1_000, mostMs: 2_000 });
	/** The calls under way that a connection may have. Clients of gRPC are told, and let more wait on their side. */
	readonly maxCallsPerConnection: number;

	constructor({ maxCallsPerSecond, maxStreamsPerConnection: streams }: Limits) {
		this.maxCallsPerConnection = 2 * streams;
		this.#rates = new CallRates(maxCallsPerSecond);
		this.#open = new OpenCalls({ calls: this.maxCallsPerConnection, streams, all: maxCalls });
	}

	/**
	 * Counts a call as begun. Returns a function that counts it as ended.
	 *
	 * Throws `resource_exhausted` if it has too much metadata, or if its connection has too many calls for now.
	 *
	 * @param peer Names the connection.
	 */
	begin(peer: string, kind: CallKind, metadataBytes: number): () => void {
		if (metadataBytes > maxMetadataBytes) {
			throw new MillraceError(
				"resource_exhausted",
				`the metadata of the call has ${metadataBytes} bytes; at most ${maxMetadataBytes} are taken: put what is large into ` +
					"the request",
			);
		}
		switch (kind) {
			case "health":
				return this.#openOfHealth.begin(peer, true);
			case "talk":
				return this.#open.begin(peer, true, true);
			default:
				return this.#open.begin(peer, kind === "stream");
		}
	}

	/** Returns how many calls a connection may try to have that is refused again and again: those that it has, and two. */
	narrowedTo(peer: string): number {
		return Math.max(fewestCalls, this.#open.countOf(peer) + this.#openOfHealth.countOf(peer) + 2);
	}

	/**
	 * Waits until a call of a connection may be refused, or is gone. A caller who calls again at once is refused again, and
	 * could keep a server busy with nothing else.
	 *
	 * @param onWait Called first, if it may not at once.
	 */
	async untilRefused(peer: string, gone: AbortSignal, onWait?: () => void): Promise<void> {
		const waitMs = this.#refusals.count(peer);
		if (waitMs > 0) {
			onWait?.();
			await sleep(waitMs, gone).catch(() => {});
		}
	}

	/**
	 * Counts a call for the calls per second of its token, or of its connection where it shows none.
	 *
	 * Throws `resource_exhausted`, for now, if there are too many.
	 */
	count(peer: string, tokenId: number | undefined): void {
		if (tokenId === undefined) {
			this.#rates.count(peer, "one connection");
		} else {
			this.#rates.count(`token ${tokenId}`, "one token");
		}
	}
}
