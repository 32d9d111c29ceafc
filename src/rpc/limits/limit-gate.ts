import type { Admission, Caller, Gate, IncomingCall } from "../gate.js";
import type { CallLimits } from "./call-limits.js";

/** Lets in whom another gate lets in, as often as each may call. */
export class LimitGate implements Gate {
	readonly #inner: Gate;
	readonly #limits: CallLimits;

	constructor(inner: Gate, limits: CallLimits) {
		this.#inner = inner;
		this.#limits = limits;
	}

	async admit(call: IncomingCall): Promise<Admission> {
		const admission = await this.#admit(call);
		try {
			this.#limits.count(call.peer, tokenOf(admission.caller));
		} catch (error) {
			admission.end("resource_exhausted");
			throw error;
		}
		return admission;
	}

	async #admit(call: IncomingCall): Promise<Admission> {
		try {
			return await this.#inner.admit(call);
		} catch (error) {
			// Who tries tokens is to be slow at it.
			this.#limits.count(call.peer, undefined);
			throw error;
		}
	}
}

function tokenOf(caller: Caller): number | undefined {
	return caller.kind === "anonymous" ? undefined : caller.tokenId;
}
