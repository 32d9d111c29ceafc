import { MillraceError } from "../errors.js";
import { CallRates } from "./call-rates.js";
import type { Admission, Caller, Gate, IncomingCall } from "./gate.js";
import { type Limits, maxMetadataBytes } from "./limits.js";
import { OpenCalls } from "./open-calls.js";

/** The calls under way that a connection may have. Clients know it, and let more wait on their side. */
export const maxCallsPerConnection = 250;

/** About how many calls are under way in all while each connection has few. */
const maxCalls = 4_000;

/** Lets in whom another gate lets in, as far as the limits go. */
export class LimitGate implements Gate {
	readonly #inner: Gate;
	readonly #rates: CallRates;
	readonly #calls: OpenCalls;

	constructor(inner: Gate, { maxCallsPerSecond, maxStreamsPerConnection: streams }: Limits) {
		this.#inner = inner;
		this.#rates = new CallRates(maxCallsPerSecond);
		this.#calls = new OpenCalls({ calls: maxCallsPerConnection, streams, all: maxCalls });
	}

	async admit(call: IncomingCall): Promise<Admission> {
		assertMetadata(call.metadataBytes);
		const leave = this.#calls.begin(call.peer, call.method.methodKind !== "unary");
		let admission: Admission | undefined;
		try {
			admission = await this.#admit(call);
			this.#countCall(call, admission.caller);
		} catch (error) {
			leave();
			admission?.end("resource_exhausted");
			throw error;
		}
		const { caller, revoked } = admission;
		return {
			caller,
			revoked,
			check: (request) => (admission as Admission).check(request),
			end(outcome) {
				leave();
				admission.end(outcome);
			},
		};
	}

	async #admit(call: IncomingCall): Promise<Admission> {
		try {
			return await this.#inner.admit(call);
		} catch (error) {
			// Who tries tokens is to be slow at it.
			this.#countCall(call, { kind: "anonymous" });
			throw error;
		}
	}

	#countCall({ peer }: IncomingCall, caller: Caller): void {
		const tokenId = caller.kind === "anonymous" ? undefined : caller.tokenId;
		if (tokenId === undefined) {
			this.#rates.count(peer, "one connection");
		} else {
			this.#rates.count(`token ${tokenId}`, "one token");
		}
	}
}

function assertMetadata(bytes: number): void {
	if (bytes > maxMetadataBytes) {
		throw new MillraceError(
			"resource_exhausted",
			`the metadata of the call has ${bytes} bytes; at most ${maxMetadataBytes} are taken: put what is large into the request`,
		);
	}
}
