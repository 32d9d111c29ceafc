import type { DescMethod, Message } from "@bufbuild/protobuf";
import { isMillraceError, MillraceError } from "../errors.js";
import { maxMessageBytes } from "./channel.js";
import type { Admission, IncomingCall } from "./gate.js";
import type { CallContext, CallHost } from "./handler.js";
import { maxStreamRequestBytes } from "./limits/limits.js";
import { smallRequest } from "./limits/request-memory.js";
import type { UnreadAnswers } from "./limits/unread-answers.js";

/** A call as it arrives, by gRPC or by HTTP. */
export interface Arrival extends Omit<IncomingCall, "method"> {
	/** Aborted when the caller has gone away. */
	readonly gone: AbortSignal;
	/** How long the caller gives the call, in milliseconds; undefined if it did not say so, or gRPC sees to it. */
	readonly timeoutMs?: number | undefined;
}

/** Why a call is stopped whose caller has gone away. An error of its own for each call would cost more than a small call. */
export const callerGone: MillraceError = new MillraceError("cancelled", "the caller has gone away");

/** How long a call that is answered by one message may take, in milliseconds; a stream has no such limit. */
export const unaryDeadlineMs = 300_000;

/** A call that was let in: what its handler knows of it, and what may stop it before its end. */
export class AdmittedCall {
	readonly context: CallContext;
	readonly #method: DescMethod;
	readonly #admission: Admission;
	readonly #gone: AbortSignal;
	readonly #stop = new AbortController();
	readonly #timer: NodeJS.Timeout | undefined;
	#isEnded = false;

	private constructor(method: DescMethod, admission: Admission, arrival: Arrival, answers: UnreadAnswers) {
		this.#method = method;
		this.#admission = admission;
		this.#gone = arrival.gone;
		// One signal for all reasons: AbortSignal.any costs as much as the rest of a small call.
		const { signal } = this.#stop;
		follow(arrival.gone, this.#stop);
		follow(admission.revoked, this.#stop);
		const deadline = deadlineOf(method, arrival.timeoutMs);
		if (deadline !== undefined) {
			const { ms, message } = deadline;
			const stop = () => this.#stop.abort(new MillraceError("deadline_exceeded", message));
			if (ms === 0) {
				stop();
			} else {
				// It keeps no process alive whose server is closed.
				this.#timer = setTimeout(stop, ms).unref();
			}
		}
		const { peer } = arrival;
		const inTurn = <T>(read: () => Promise<T>) => answers.inTurn(peer, signal, read);
		this.context = { signal, peer, caller: admission.caller, inTurn };
	}

	/** Asks the gate to let a call in. Throws what the gate throws. */
	static async enter({ gate, memory }: CallHost, method: DescMethod, arrival: Arrival): Promise<AdmittedCall> {
		const { authorization, metadataBytes, peer } = arrival;
		const admission = await gate.admit({ method, authorization, metadataBytes, peer });
		return new AdmittedCall(method, admission, arrival, memory.answers);
	}

	/** The most bytes of the request: what a stream is asked for is small, and so is what everyone may ask. */
	get maxRequestBytes(): number {
		if (this.context.caller.kind === "anonymous") {
			return smallRequest;
		}
		return this.#method.methodKind === "server_streaming" ? maxStreamRequestBytes : maxMessageBytes;
	}

	/** Whether the caller has gone away. */
	get isGone(): boolean {
		return this.#gone.aborted;
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
		// What it looks at before it reads would be looked at for thousands who have to wait all the same.
		await this.answer(this.context.inTurn(async () => {}));
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
		return this.#stop.signal.reason;
	}
}

/** Aborts a controller with the reason of a signal, when that is aborted. */
function follow(signal: AbortSignal, controller: AbortController): void {
	if (signal.aborted) {
		controller.abort(signal.reason);
	} else {
		signal.addEventListener("abort", () => controller.abort(signal.reason), { once: true });
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
