import { constants, type ServerHttp2Stream } from "node:http2";
import { Duplex } from "node:stream";
import type { DescMethod } from "@bufbuild/protobuf";
import {
	type Metadata,
	ServerInterceptingCall,
	type ServerInterceptingCallInterface,
	type ServerInterceptor,
	status as Status,
} from "@grpc/grpc-js";
import { MillraceError } from "../errors.js";
import { AdmittedCall, callerGone } from "./admitted-call.js";
import type { CallHost } from "./handler.js";
import type { IncomingConnection } from "./incoming-connection.js";
import type { IncomingConnections } from "./incoming-connections.js";
import type { CallKind } from "./limits/call-limits.js";
import { mostUnpacked, type Reception, smallRequest } from "./limits/request-memory.js";
import { MessageFrames } from "./message-frames.js";
import { narrow } from "./narrow.js";
import { pushbackOf, refusedForNow } from "./pushback.js";
import { toStatus } from "./status.js";

type EndStatus = Parameters<ServerInterceptingCallInterface["sendStatus"]>[0];
type Listener = Parameters<ServerInterceptingCallInterface["start"]>[0];

/** Calls that were let in and whose handler has not begun, by their metadata. */
const admittedCalls = new WeakMap<Metadata, AdmittedCall>();

/** Returns the call that was let in, once, for the handler, which has to end it. */
export function takeAdmitted(metadata: Metadata): AdmittedCall {
	const admitted = admittedCalls.get(metadata);
	if (admitted === undefined) {
		throw new MillraceError("internal", "a handler was called for a call that was not let in");
	}
	admittedCalls.delete(metadata);
	return admitted;
}

/** What a call comes in by. */
export interface Entrance {
	/** What its calls have in common with those of other doors. */
	readonly host: CallHost;
	readonly connections: IncomingConnections;
	/** How long a request may take to come whole, in milliseconds. */
	readonly requestMs: number;
	/** Finds the method of a path; undefined for those that everyone may call, of health and reflection. */
	methodOf(path: string): DescMethod | undefined;
}

/**
 * Makes what grpc-js passes each call through: lets it in before its request is received, and counts what it holds in
 * memory, to its end.
 */
export function incomingCalls(entrance: Entrance): ServerInterceptor {
	return ({ path, requestStream, responseStream }, call) => {
		const method = entrance.methodOf(path);
		const isTalk = requestStream;
		const limited = method === undefined ? "health" : isTalk ? "talk" : responseStream ? "stream" : "call";
		return new IncomingCall(entrance, { path, method, isTalk, limited }, call);
	};
}

interface Called {
	readonly path: string;
	readonly method: DescMethod | undefined;
	/** Whether requests and answers come and go as both sides like. */
	readonly isTalk: boolean;
	readonly limited: CallKind;
}

class IncomingCall extends ServerInterceptingCall {
	readonly #entrance: Entrance;
	readonly #host: CallHost;
	readonly #called: Called;
	readonly #peer: string;
	readonly #stream: ServerHttp2Stream | undefined;
	readonly #gone = new AbortController();
	/** What is to be done at the end of the call. */
	readonly #ends = new Set<() => void>();
	/** The most bytes of its request. */
	#mostBytes = smallRequest;
	#connection: IncomingConnection | undefined;
	#timer: NodeJS.Timeout | undefined;
	#reception: Reception | undefined;
	#request: { readonly message: unknown } | undefined;
	#hasAnswered = false;
	/** Whether it is to be refused, and waits for that. */
	#isRefused = false;
	/** The requests of a talk that have come, less the answers that were taken. */
	#unanswered = 0;

	constructor(entrance: Entrance, called: Called, call: ServerInterceptingCallInterface) {
		super(call);
		this.#entrance = entrance;
		this.#host = entrance.host;
		this.#called = called;
		this.#peer = call.getPeer();
		this.#stream = streamOf(call);
		this.#watchRequests();
	}

	override start(listener: Listener): void {
		super.start({
			onReceiveMetadata: (metadata) => void this.#enter(metadata, listener),
			onReceiveMessage: (message: unknown) => this.#receive(message, listener),
			onReceiveHalfClose: () => this.#deliver(listener),
			onCancel: () => {
				this.#leave();
				listener.onCancel();
			},
		});
	}

	override sendMetadata(metadata: Metadata): void {
		this.#hasAnswered = true;
		super.sendMetadata(metadata);
	}

	override sendMessage(message: unknown, callback: () => void): void {
		this.#hasAnswered = true;
		if (this.#gone.signal.aborted) {
			return;
		}
		// Who talks may be slow to hear; if it is for too long, its lease ends. What is no bytes is of health, and small.
		if (this.#called.isTalk || !(message instanceof Uint8Array)) {
			super.sendMessage(message, () => {
				this.#unanswered -= 1;
				callback();
			});
			return;
		}
		const taken = this.#host.memory.answers.add(this.#peer, message.length, () =>
			this.#stream?.close(constants.NGHTTP2_ENHANCE_YOUR_CALM),
		);
		this.#ends.add(taken);
		super.sendMessage(message, () => {
			this.#ends.delete(taken);
			taken();
			callback();
		});
	}

	override sendStatus(status: EndStatus): void {
		if (status.code === Status.OK && this.#called.method !== undefined) {
			this.#connection?.noteAnswered();
		}
		super.sendStatus(status);
	}

	async #enter(metadata: Metadata, listener: Listener): Promise<void> {
		const connection = this.#entrance.connections.beginCall(this.#peer);
		this.#connection = connection;
		this.#ends.add(() => connection?.endCall());
		if (connection?.isExtra) {
			// The connection goes soon. Its caller is to know why.
			this.#refuse(crowded);
			return;
		}
		try {
			await this.#admit(metadata);
		} catch (error) {
			if (pushbackOf(error) === undefined) {
				this.#refuse(error);
			} else {
				await this.#refuseForNow(error);
			}
			return;
		}
		if (this.#gone.signal.aborted) {
			return;
		}
		if (!this.#called.isTalk) {
			const { requestMs } = this.#entrance;
			this.#timer = setTimeout(() => this.#refuse(lateRequest(requestMs)), requestMs).unref();
		}
		listener.onReceiveMetadata(metadata);
	}

	async #admit(metadata: Metadata): Promise<void> {
		const { limits } = this.#host;
		const { method, limited } = this.#called;
		const metadataBytes = sizeOf(metadata);
		this.#ends.add(limits.begin(this.#peer, limited, metadataBytes));
		if (method === undefined) {
			limits.count(this.#peer, undefined);
			return;
		}
		const [authorization] = metadata.get("authorization");
		const gone = this.#gone.signal;
		const arrival = { gone, peer: this.#peer, metadataBytes, authorization: authorization?.toString() };
		const admitted = await AdmittedCall.enter(this.#host, method, arrival);
		if (admitted.context.caller.kind !== "anonymous") {
			this.#connection?.noteKnown();
		}
		this.#mostBytes = admitted.maxRequestBytes;
		admittedCalls.set(metadata, admitted);
		const end = () => {
			if (admittedCalls.delete(metadata)) {
				admitted.end(callerGone);
			}
		};
		if (gone.aborted) {
			end();
		} else {
			this.#ends.add(end);
		}
	}

	/** Has large requests wait for memory. Of those that come in pieces no more is read meanwhile. */
	#watchRequests(): void {
		const stream = this.#stream;
		if (stream === undefined) {
			return;
		}
		const frames = new MessageFrames((bytes, isCompressed) => {
			// What strangers send packed has to be far smaller: nobody knows how large it becomes.
			const mostBytes = isCompressed && this.#mostBytes === smallRequest ? packedRequest : this.#mostBytes;
			if (bytes > mostBytes) {
				const message = `the request has ${bytes} bytes; at most ${mostBytes} are taken: send less at a time`;
				this.#refuse(new MillraceError("resource_exhausted", message));
				return;
			}
			this.#endReception();
			const most = isCompressed ? mostUnpacked(bytes) : bytes;
			if (most <= smallRequest || this.#gone.signal.aborted) {
				return;
			}
			const reception = this.#host.memory.requests.receive(most, stream.session ?? stream, {
				onLent: () => void stream.resume(),
				onRefused: (error) => void this.#refuseForNow(error),
			});
			this.#reception = reception;
			if (!reception.isLent) {
				stream.pause();
				// It may have come whole, and would be unpacked at once.
				if (isCompressed) {
					this.#refuse(refusedForNow("the server has no memory to unpack the request; send it as it is", 1_000));
				}
			}
		});
		// Before grpc-js looks at it.
		stream.prependListener("data", (piece: Buffer) => {
			this.#reception?.take(piece.length);
			frames.take(piece);
		});
	}

	#receive(message: unknown, listener: Listener): void {
		if (this.#isRefused) {
			return;
		}
		if (this.#called.isTalk) {
			this.#endReception();
			this.#unanswered += 1;
			// Answers of reflection wait in grpc-js until they are read, and everyone may ask for them.
			if (this.#called.method === undefined && this.#unanswered > mostUnanswered) {
				this.#stream?.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
			} else {
				listener.onReceiveMessage(message);
			}
		} else if (this.#request === undefined) {
			this.#request = { message };
			this.#reception?.whole();
			this.startRead();
		} else {
			this.#refuse(new MillraceError("invalid_argument", "two requests were sent for one call; send one"));
		}
	}

	/** Hands the request on, once it is whole and, if it is large, there is the memory to handle it. */
	#deliver(listener: Listener): void {
		if (this.#isRefused) {
			return;
		}
		const message = this.#request?.message;
		clearTimeout(this.#timer);
		if (message === undefined && !this.#called.isTalk) {
			this.#refuse(new MillraceError("invalid_argument", "the request did not come whole; send it again"));
			return;
		}
		const begin = () => {
			this.#endReception();
			if (this.#gone.signal.aborted || this.#isRefused) {
				return;
			}
			if (message !== undefined) {
				listener.onReceiveMessage(message);
			}
			listener.onReceiveHalfClose();
		};
		// Those of streams are not that large, and would hold the memory for as long as the stream goes on.
		if (this.#called.limited !== "call" || !(message instanceof Uint8Array) || message.length <= smallRequest) {
			begin();
			return;
		}
		const loan = this.#host.memory.requests.handle(message.length, {
			onLent: begin,
			onRefused: (error) => void this.#refuseForNow(error),
		});
		this.#ends.add(() => loan.end());
		if (loan.isLent) {
			begin();
		}
	}

	/** Ends the call in its time: who is refused at once calls again at once. */
	async #refuseForNow(error: unknown): Promise<void> {
		if (this.#gone.signal.aborted) {
			// Nobody would resume its stream.
			return;
		}
		const { limits } = this.#host;
		this.#isRefused = true;
		this.#request = undefined;
		this.#endReception();
		this.#stream?.pause();
		await limits.untilRefused(this.#peer, this.#gone.signal, () => {
			// Calls that are answered would have to wait on their caller's side for those that are refused.
			if (!this.#connection?.isServed) {
				narrow(this.#stream?.session, limits.narrowedTo(this.#peer), limits.maxCallsPerConnection);
			}
		});
		this.#refuse(error);
	}

	/** Ends the call before its handler has begun. */
	#refuse(error: unknown): void {
		if (this.#gone.signal.aborted) {
			return;
		}
		const hasAnswered = this.#hasAnswered;
		super.sendStatus(toStatus(error, this.#called.path, this.#host.log));
		this.#leave();
		if (!hasAnswered) {
			// What is still on its way of the request would be taken, and thrown away.
			this.#stream?.close(constants.NGHTTP2_NO_ERROR);
		}
	}

	#endReception(): void {
		this.#reception?.end();
		this.#reception = undefined;
	}

	#leave(): void {
		this.#gone.abort(callerGone);
		this.#request = undefined;
		clearTimeout(this.#timer);
		this.#endReception();
		for (const end of this.#ends) {
			end();
		}
		this.#ends.clear();
	}
}

const crowded = refusedForNow(
	"the server has as many connections as it takes; close some, or start it with a larger --max-connections",
	1_000,
);

/** How many requests of reflection a call may have unanswered. */
const mostUnanswered = 1_000;

/** The most bytes of a packed request of those who may be anyone. */
const packedRequest = 1_024;

function lateRequest(ms: number): MillraceError {
	const message = `the request did not come to its end within ${ms / 1_000} s; send less at a time`;
	return new MillraceError("deadline_exceeded", message);
}

/**
 * Returns the HTTP/2 stream of a call, which grpc-js keeps to itself: nothing else tells how much of a request has come,
 * or ends a call that is not read. Without it, as in a version that names it otherwise, large requests find no limit.
 */
function streamOf(call: ServerInterceptingCallInterface): ServerHttp2Stream | undefined {
	const stream: unknown = Reflect.get(call, "stream");
	return stream instanceof Duplex ? (stream as ServerHttp2Stream) : undefined;
}

function sizeOf(metadata: Metadata): number {
	let bytes = 0;
	for (const [name, values] of Object.entries(metadata.toHttp2Headers())) {
		for (const value of [values].flat()) {
			bytes += name.length + String(value).length;
		}
	}
	return bytes;
}
