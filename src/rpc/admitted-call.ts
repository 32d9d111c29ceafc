import type { DescMethod, Message } from "@bufbuild/protobuf";
import { isMillraceError, MillraceError } from "../errors.js";
import type { Admission, Gate, IncomingCall } from "./gate.js";
import type { CallContext } from "./handler.js";

/** A call as it arrives, by gRPC or by HTTP. */
export interface Arrival extends Omit<IncomingCall, "method"> {
	/** Aborted when the caller has gone away. */
	readonly gone: AbortSignal;
	/** How long the caller gives the call, in milliseconds; undefined if it did not say so, or gRPC sees to it. */
	readonly timeoutMs?: number | undefined;
}

/** How long a call that is answered by one message may take, in milliseconds; a stream has no such limit. */
export const unaryDeadlineMs = 300_000;

/** A call that was let in: what its handler knows of it, and what may stop it before its end. */
export class AdmittedCall {
	readonly context: CallContext;
	readonly #admission: Admission;
	readonly #gone: AbortSignal;
	readonly #deadline = new AbortController();
	readonly #timer: NodeJS.Timeout | undefined;
	#isEnded = false;

	private constructor(method: DescMethod, admission: Admission, arrival: Arrival) {
		this.#admission = admission;
		this.#gone = arrival.gone;
		const deadline = deadlineOf(method, arrival.timeoutMs);
		if (deadline !== undefined) {
			const { ms, message } = deadline;
			const stop = () => this.#deadline.abort(new MillraceError("deadline_exceeded", message));
			if (ms === 0) {
				stop();
			} else {
				// It keeps no process alive whose server is closed.
				this.#timer = setTimeout(stop, ms).unref();
			}
		}
		const signal = AbortSignal.any([arrival.gone, admission.revoked, this.#deadline.signal]);
		this.context = { signal, peer: arrival.peer, caller: admission.caller };
	}

	/** Asks the gate to let a call in. Throws what the gate throws. */
	static async enter(gate: Gate, method: DescMethod, arrival: Arrival): Promise<AdmittedCall> {
		const { authorization, metadataBytes, peer } = arrival;
		return new AdmittedCall(method, await gate.admit({ method, authorization, metadataBytes, peer }), arrival);
	}

	/** Has a handler answer a request by one message. Throws what the gate and the handler throw, or why the call was stopped. */
	async one<I extends Message, O>(handler: (request: I, context: CallContext) => Promise<O>, request: I): Promise<O> {
		const checked = await this.answer(this.checked(request));
		return await this.answer(handler(checked, this.context));
	}

	/** Has a handler answer a request by a stream. It throws what the gate and the handler throw, or why the call was stopped. */
	async *many<I extends Message, O>(
		handler: (request: I, context: CallContext) => AsyncIterable<O>,
		request: I,
	): AsyncGenerator<O> {
		const checked = await this.checked(request);
		this.throwIfStopped();
		for await (const message of handler(checked, this.context)) {
			if (this.context.signal.aborted) {
				break;
			}
			yield message;
		}
		this.throwIfStopped();
	}

	/** Lets the gate look at the request, and returns it. Throws `permission_denied` if the caller may not ask for it. */
	async checked<T extends Message>(request: T): Promise<T> {
		await this.#admission.check(request);
		return request;
	}

	/** Waits for the one answer of a handler, unless the call is stopped before: then throws the reason. */
	async answer<T>(answer: Promise<T>): Promise<T> {
		const { signal } = this.context;
		let onAbort = () => {};
		const stopped = new Promise<never>((_, reject) => {
			// Whoever has gone away gets no answer, and waits for none.
			onAbort = () => (this.#gone.aborted ? undefined : reject(this.#reason()));
			signal.addEventListener("abort", onAbort, { once: true });
			if (signal.aborted) {
				onAbort();
			}
		});
		try {
			return await Promise.race([answer, stopped]);
		} finally {
			signal.removeEventListener("abort", onAbort);
		}
	}

	/** Throws the reason if the call was stopped though its caller is still there. */
	throwIfStopped(): void {
		if (this.context.signal.aborted && !this.#gone.aborted) {
			throw this.#reason();
		}
	}

	/** Tells the gate that the call has ended, with an error or without. */
	end(...error: [] | [unknown]): void {
		clearTimeout(this.#timer);
		if (!this.#isEnded) {
			this.#isEnded = true;
			const [thrown] = error;
			this.#admission.end(error.length === 0 ? "ok" : isMillraceError(thrown) ? thrown.code : "internal");
		}
	}

	#reason(): unknown {
		return this.#admission.revoked.aborted ? this.#admission.revoked.reason : this.#deadline.signal.reason;
	}
}

/** Returns after how long a call has to have ended, and what is said of it then; undefined if it may go on. */
function deadlineOf(method: DescMethod, timeoutMs = Number.POSITIVE_INFINITY) {
	if (method.methodKind === "unary" && timeoutMs >= unaryDeadlineMs) {
		const message = `${method.name} took more than ${unaryDeadlineMs / 1000} s; ask for less at a time`;
		return { ms: unaryDeadlineMs, message };
	}
	// More than a timer can wait, 24 days, is as good as no deadline.
	return timeoutMs <= 2_147_483_647
		? { ms: timeoutMs, message: `${method.name} took more than the ${timeoutMs} ms that its caller gave it` }
		: undefined;
}
