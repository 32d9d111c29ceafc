import type { DescMessage, DescMethod, DescService, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { MillraceError, messageOf } from "../errors.js";
import { type CallGuard, guardCall } from "./call-guard.js";
import type { Channel } from "./channel.js";
import { decode, encode, methodPath } from "./definition.js";
import { notePushback, pushbackOf } from "./pushback.js";
import { backoffMs, sleep } from "./retry.js";
import { fromStatus, isAnswer } from "./status.js";
import { findTlsFault } from "./tls-fault.js";

/** Options of one call. */
export interface CallOptions {
	/** Ends the call, which then fails with `cancelled`. */
	readonly signal?: AbortSignal | undefined;
	/** How long to repeat the call while the server is away, in milliseconds. Default: the channel's. */
	readonly retryMs?: number | undefined;
	/**
	 * How long an answer may take that is one message, in milliseconds, before the call fails with `deadline_exceeded`. A
	 * stream has no such limit. Default 330,000: the server gives such a call up after 300,000, and says so.
	 */
	readonly timeoutMs?: number | undefined;
}

const usualTimeoutMs = 330_000;

/** The client's end of a stream in both directions. */
export interface DuplexCall<I, O> extends AsyncIterable<O> {
	/** Sends a message. */
	send(message: I): void;
	/** Says that no more messages will be sent. */
	end(): void;
	/** Ends the call at once. */
	cancel(): void;
}

/** The function that calls a method. */
export type ClientMethod<M> = M extends {
	methodKind: infer Kind;
	input: infer I extends DescMessage;
	output: infer O extends DescMessage;
}
	? Kind extends "unary"
		? (request: MessageInitShape<I>, options?: CallOptions) => Promise<MessageShape<O>>
		: Kind extends "server_streaming"
			? (request: MessageInitShape<I>, options?: CallOptions) => AsyncIterable<MessageShape<O>>
			: Kind extends "bidi_streaming"
				? (options?: CallOptions) => DuplexCall<MessageInitShape<I>, MessageShape<O>>
				: never
	: never;

/** A service's methods as functions. */
export type RpcClient<S extends DescService> = { [K in keyof S["method"]]: ClientMethod<S["method"][K]> };

/**
 * Makes a client of a service. A call that the protos mark as repeatable is repeated while the server is
 * UNAVAILABLE, until the channel's time is over; a server stream only before its first message. So is every call that
 * the server refused for now, when it has said that nothing of it was done.
 */
export function createRpcClient<S extends DescService>(service: S, channel: Channel): RpcClient<S> {
	const methods = service.methods.map((method) => [method.localName, clientMethod(method, channel)]);
	return Object.fromEntries(methods) as RpcClient<S>;
}

function clientMethod(method: DescMethod, channel: Channel) {
	switch (method.methodKind) {
		case "unary":
			return (request: MessageInitShape<DescMessage>, options: CallOptions = {}) => {
				const bytes = encodeRequest(method, request);
				return repeating(method, channel, options, () => unary(method, channel, bytes, options));
			};
		case "server_streaming":
			return (request: MessageInitShape<DescMessage>, options: CallOptions = {}) =>
				serverStream(method, channel, encodeRequest(method, request), options);
		case "bidi_streaming":
			return (options: CallOptions = {}) => duplex(method, channel, options);
		case "client_streaming":
			throw new MillraceError("unimplemented", `${methodPath(method)}: client streaming has no user here`);
	}
}

const identity = (bytes: Buffer) => bytes;

async function unary(method: DescMethod, channel: Channel, bytes: Buffer, options: CallOptions) {
	channel.assertOpen();
	const { timeoutMs = usualTimeoutMs } = options;
	let guard: CallGuard | undefined;
	const answer = new Promise<Buffer>((resolve, reject) => {
		const call = channel.grpc.makeUnaryRequest(
			methodPath(method),
			identity,
			identity,
			bytes,
			channel.metadata(),
			{ deadline: Date.now() + timeoutMs },
			(error, response) => {
				guard?.release();
				if (error) {
					reject(error);
				} else {
					resolve(response as Buffer);
				}
			},
		);
		guard = guardCall(call, channel, guardOptions(channel, options));
	});
	try {
		return decode(method.output, await answer);
	} catch (error) {
		// Made here and not in grpc-js's callback, where no stack leads to who called.
		const failure = guard?.failure(error);
		if (failure?.code === "deadline_exceeded" && !isAnswer(failure)) {
			throw new MillraceError(
				"deadline_exceeded",
				`the Millrace server at ${channel.address} did not answer ${method.name} within ${timeoutMs / 1_000} s; ` +
					"it may have done what was asked all the same",
			);
		}
		throw failure ?? error;
	}
}

/** As `encode`; what protobuf refuses in a request is the caller's fault. */
function encodeRequest(method: DescMethod, request: MessageInitShape<DescMessage>): Buffer {
	try {
		return encode(method.input, request);
	} catch (cause) {
		const message = `the request of ${method.name} is malformed: ${messageOf(cause)}`;
		throw new MillraceError("invalid_argument", message, { cause });
	}
}

async function* serverStream(method: DescMethod, channel: Channel, bytes: Buffer, options: CallOptions) {
	const open = () => {
		channel.assertOpen();
		const stream = channel.grpc.makeServerStreamRequest(
			methodPath(method),
			identity,
			identity,
			bytes,
			channel.metadata(),
		);
		// The reader may have stopped early. What grpc-js says of the cancellation is nobody's concern.
		stream.on("error", () => {});
		const guard = guardCall(stream, channel, guardOptions(channel, options));
		const messages: AsyncIterator<Buffer> = stream[Symbol.asyncIterator]();
		const read = async () => {
			try {
				return await messages.next();
			} catch (error) {
				throw guard.failure(error);
			}
		};
		const close = () => {
			guard.release();
			stream.cancel();
		};
		return { read, close };
	};
	let call: ReturnType<typeof open> | undefined;
	try {
		let next = await repeating(method, channel, options, () => {
			call?.close();
			call = open();
			return call.read();
		});
		while (call !== undefined && !next.done) {
			yield decode(method.output, next.value);
			next = await call.read();
		}
	} finally {
		call?.close();
	}
}

function duplex(method: DescMethod, channel: Channel, options: CallOptions): DuplexCall<never, unknown> {
	channel.assertOpen();
	const stream = channel.grpc.makeBidiStreamRequest(methodPath(method), identity, identity, channel.metadata());
	const guard = guardCall(stream, channel, guardOptions(channel, options));
	let failure: unknown;
	let isEnded = false;
	// It may fail before anybody reads it; then reading would only find an end.
	stream.on("error", (error) => {
		failure ??= error;
	});
	stream.on("status", () => {
		isEnded = true;
		guard.release();
	});
	return {
		send(message) {
			if (!isEnded) {
				stream.write(encodeRequest(method, message));
			}
		},
		end() {
			isEnded = true;
			stream.end();
		},
		cancel: () => stream.cancel(),
		async *[Symbol.asyncIterator]() {
			try {
				for await (const bytes of stream) {
					channel.reached = true;
					yield decode(method.output, bytes as Buffer);
				}
				if (failure !== undefined) {
					throw failure;
				}
			} catch (error) {
				throw guard.failure(error);
			} finally {
				guard.release();
				stream.cancel();
			}
		},
	};
}

function guardOptions(channel: Channel, options: CallOptions) {
	// A call that is not to be repeated still has the time to connect.
	return { signal: options.signal, connectMs: Math.max(limitMs(channel, options), channel.connectMs) };
}

/** How long a call waits for a server. */
function limitMs(channel: Channel, options: CallOptions): number {
	return options.retryMs ?? (channel.reached ? channel.retryMs : channel.connectMs);
}

/**
 * Runs `attempt` again while it fails with `unavailable` and the method may be repeated, or is refused for now, which
 * says that nothing was done.
 */
async function repeating<T>(
	method: DescMethod,
	channel: Channel,
	options: CallOptions,
	attempt: () => Promise<T>,
): Promise<T> {
	const mayRepeat = method.idempotency !== MethodOptions_IdempotencyLevel.IDEMPOTENCY_UNKNOWN;
	const start = Date.now();
	for (let count = 1; ; count++) {
		try {
			const result = await attempt();
			channel.reached = true;
			return result;
		} catch (error) {
			const failure = fromStatus(error);
			const pushback = pushbackOf(failure);
			if (failure.code !== "unavailable" && pushback === undefined) {
				channel.reached ||= failure.code !== "cancelled";
				throw tracedToCaller(failure);
			}
			// A server that cannot do it now has been reached, and says why.
			const answered = isAnswer(failure);
			channel.reached ||= answered;
			// Those who were refused together would otherwise come back together.
			const wait = backoffMs(count) + (pushback ?? 0);
			const repeatable = mayRepeat || pushback !== undefined;
			// A refusal is soon over, so that also those have time for it who do not wait for a server that is away.
			const limit = Math.max(limitMs(channel, options), pushback === undefined ? 0 : channel.connectMs);
			const isLast = !repeatable || Date.now() - start + wait > limit;
			if (isLast || !channel.reached) {
				// Waiting would not mend it.
				const fault = await findTlsFault(channel, failure, options.signal);
				if (fault !== undefined) {
					throw tracedToCaller(fault);
				}
			}
			if (isLast) {
				const waitedMs = Date.now() - start;
				throw tracedToCaller(answered ? unable(channel, waitedMs, failure) : unreachable(channel, waitedMs, failure));
			}
			await sleep(wait, options.signal);
		}
	}
}

/** Gives an error the stack of those who wait for the call: the chains of the SDK are longer than a usual stack. */
function tracedToCaller(error: MillraceError): MillraceError {
	const limit = Error.stackTraceLimit;
	Error.stackTraceLimit = Math.max(limit, 30);
	Error.captureStackTrace(error, tracedToCaller);
	Error.stackTraceLimit = limit;
	return error;
}

function unable(channel: Channel, waitedMs: number, last: MillraceError): MillraceError {
	const waited = waitedMs < 1_000 ? "" : ` after ${(waitedMs / 1000).toFixed(1)} s`;
	const error = new MillraceError(
		last.code,
		`the Millrace server at ${channel.address} refuses the call${waited}: ${last.message}`,
	);
	const pushback = pushbackOf(last);
	if (pushback !== undefined) {
		notePushback(error, pushback);
	}
	return error;
}

function unreachable(channel: Channel, waitedMs: number, last: MillraceError): MillraceError {
	const seconds = (waitedMs / 1000).toFixed(1);
	return new MillraceError(
		"unavailable",
		`no answer from a Millrace server at ${channel.address} for ${seconds} s; is it running? (${last.message})`,
	);
}
