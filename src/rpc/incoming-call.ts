import { constants, type Http2Session, type ServerHttp2Stream } from "node:http2";
import { Duplex } from "node:stream";
import type { DescMethod } from "@bufbuild/protobuf";
import {
	type Metadata,
	ServerInterceptingCall,
	type ServerInterceptingCallInterface,
	type ServerInterceptor,
} from "@grpc/grpc-js";
import { MillraceError } from "../errors.js";
import { AdmittedCall, callerGone, unaryDeadlineMs } from "./admitted-call.js";
import { maxMessageBytes } from "./channel.js";
import type { CallHost } from "./handler.js";
import { type Reception, smallRequest } from "./limits/request-memory.js";
import { MessageFrames } from "./message-frames.js";
import { pushbackOf, refusedForNow } from "./pushback.js";
import { toStatus } from "./status.js";

type Listener = Parameters<ServerInterceptingCallInterface["start"]>[0];

/** Calls that were let in and whose handler has not begun, by their metadata. */
const admittedCalls = new WeakMap<Metadata, AdmittedCall>();

/** Returns the call that was let in, once, for the handler, which has to end it. */
export function takeAdmitted(metadata: Metadata): AdmittedCall {
	const admitted = admittedCalls.get(metadata);
	if (admitted === undefined) {
		throw new Error("a handler was called for a call that was not let in");
	}
	admittedCalls.delete(metadata);
	return admitted;
}

/**
 * Makes what grpc-js passes each call through: lets it in before its request is received, and counts what it holds in
 * memory, to its end.
 *
 * @param methodOf Finds the method of a path; undefined for those that everyone may call, such as reflection's.
 * @param isCrowded Tells whether a connection is one too many.
 */
export function incomingCalls(
	host: CallHost,
	methodOf: (path: string) => DescMethod | undefined,
	isCrowded: (peer: string) => boolean,
): ServerInterceptor {
	return ({ path, requestStream, responseStream }, call) => {
		const isStream = requestStream || responseStream;
		return new IncomingCall(host, { path, method: methodOf(path), isStream, isTalk: requestStream, isCrowded }, call);
	};
}

interface CallKind {
	readonly path: string;
	readonly method: DescMethod | undefined;
	readonly isStream: boolean;
	/** Whether requests and answers come and go as both sides like. */
	readonly isTalk: boolean;
	readonly isCrowded: (peer: string) => boolean;
}

class IncomingCall extends ServerInterceptingCall {
	readonly #host: CallHost;
	readonly #kind: CallKind;
	readonly #peer: string;
	readonly #stream: ServerHttp2Stream | undefined;
	readonly #gone = new AbortController();
	/** What is to be done at the end of the call. */
	readonly #ends = new Set<() => void>();
	#reception: Reception | undefined;
	#request: { readonly message: unknown } | undefined;
	#hasAnswered = false;
	/** The requests of a talk that have come, less the answers that were taken. */
	#unanswered = 0;

	constructor(host: CallHost, kind: CallKind, call: ServerInterceptingCallInterface) {
		super(call);
		this.#host = host;
		this.#kind = kind;
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
		if (this.#kind.isTalk || !(message instanceof Uint8Array)) {
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

	async #enter(metadata: Metadata, listener: Listener): Promise<void> {
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
		if (!this.#kind.isTalk) {
			const timer = setTimeout(() => this.#refuse(lateRequest), requestMs).unref();
			this.#ends.add(() => clearTimeout(timer));
		}
		listener.onReceiveMetadata(metadata);
	}

	async #admit(metadata: Metadata): Promise<void> {
		const { limits } = this.#host;
		const { method, isStream, isCrowded } = this.#kind;
		if (isCrowded(this.#peer)) {
			throw refusedForNow(
				"the server has as many connections as it takes; close some, or start it with a larger --max-connections",
				1_000,
			);
		}
		const metadataBytes = sizeOf(metadata);
		this.#ends.add(limits.begin(this.#peer, isStream, metadataBytes));
		if (method === undefined) {
			limits.count(this.#peer, undefined);
			return;
		}
		const [authorization] = metadata.get("authorization");
		const gone = this.#gone.signal;
		const arrival = { gone, peer: this.#peer, metadataBytes, authorization: authorization?.toString() };
		const admitted = await AdmittedCall.enter(this.#host, method, arrival);
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
			if (bytes > maxMessageBytes) {
				const message = `the request has ${bytes} bytes; at most ${maxMessageBytes} are taken: send less at a time`;
				this.#refuse(new MillraceError("resource_exhausted", message));
				return;
			}
			this.#endReception();
			const most = isCompressed ? Math.min(maxMessageBytes, bytes * mostInflation) : bytes;
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
		if (this.#kind.isTalk) {
			this.#endReception();
			this.#unanswered += 1;
			// Answers of reflection wait in grpc-js until they are read, and everyone may ask for them.
			if (this.#kind.method === undefined && this.#unanswered > mostUnanswered) {
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
		const message = this.#request?.message;
		const begin = () => {
			this.#endReception();
			if (this.#gone.signal.aborted) {
				return;
			}
			if (message !== undefined) {
				listener.onReceiveMessage(message);
			}
			listener.onReceiveHalfClose();
		};
		if (!(message instanceof Uint8Array) || message.length <= smallRequest) {
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
		const { limits } = this.#host;
		if (await limits.untilRefused(this.#peer)) {
			narrow(this.#stream?.session, limits.maxCallsPerConnection);
		}
		this.#refuse(error);
	}

	/** Ends the call before its handler has begun. */
	#refuse(error: unknown): void {
		if (this.#gone.signal.aborted) {
			return;
		}
		const hasAnswered = this.#hasAnswered;
		super.sendStatus(toStatus(error, this.#kind.path, this.#host.log));
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
		this.#endReception();
		for (const end of this.#ends) {
			end();
		}
		this.#ends.clear();
	}
}

/** How many requests of reflection a call may have unanswered. */
const mostUnanswered = 1_000;

/** How long a request may take to come whole, in milliseconds. */
const requestMs = unaryDeadlineMs;

const lateRequest = new MillraceError(
	"deadline_exceeded",
	`the request did not come to its end within ${requestMs / 1_000} s; send less at a time`,
);

/** The calls that a connection may have for a while after one was refused, in the eyes of its transport. */
const narrowCalls = 4;
/** How long that is, in milliseconds. */
const narrowMs = 10_000;

const narrowed = new WeakSet<object>();

/**
 * Tells a client whose calls are refused again and again to have few at a time: clients of gRPC let the others wait on
 * their side. What a client begins all the same is refused by the transport, which costs nothing.
 */
function narrow(session: Http2Session | undefined, most: number): void {
	if (session === undefined || session.destroyed || narrowed.has(session)) {
		return;
	}
	narrowed.add(session);
	session.settings({ maxConcurrentStreams: narrowCalls });
	setTimeout(() => {
		narrowed.delete(session);
		if (!session.destroyed) {
			session.settings({ maxConcurrentStreams: most });
		}
	}, narrowMs).unref();
}

/** How many times as long a compressed message may become. */
const mostInflation = 1_032;

/**
 * Returns the HTTP/2 stream of a call, which grpc-js keeps to itself: nothing else tells how much of a request has come,
 * or ends a call that is not read. Without it, as in a version that names it otherwise, large requests find no limit.
 */
export function streamOf(call: ServerInterceptingCallInterface): ServerHttp2Stream | undefined {
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
