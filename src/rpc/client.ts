import type { DescMessage, DescMethod, DescService, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { type CallOptions as GrpcCallOptions, Metadata } from "@grpc/grpc-js";
import { MillraceError } from "../errors.js";
import type { Channel } from "./channel.js";
import { decode, encode, methodPath } from "./definition.js";
import { backoffMs, sleep } from "./retry.js";
import { fromStatus } from "./status.js";

/** Options of one call. */
export interface CallOptions {
	/** Ends the call, which then fails with `cancelled`. */
	readonly signal?: AbortSignal | undefined;
	/** How long to repeat the call while the server is away, in milliseconds. Default: the channel's. */
	readonly retryMs?: number | undefined;
}

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
 * UNAVAILABLE, until the channel's time is over; a server stream only before its first message.
 */
export function createRpcClient<S extends DescService>(service: S, channel: Channel): RpcClient<S> {
	const methods = service.methods.map((method) => [method.localName, clientMethod(method, channel)]);
	return Object.fromEntries(methods) as RpcClient<S>;
}

function clientMethod(method: DescMethod, channel: Channel) {
	switch (method.methodKind) {
		case "unary":
			return (request: MessageInitShape<DescMessage>, options: CallOptions = {}) => {
				const bytes = encode(method.input, request);
				return repeating(method, channel, options, () => unary(method, channel, bytes, options));
			};
		case "server_streaming":
			return (request: MessageInitShape<DescMessage>, options: CallOptions = {}) =>
				serverStream(method, channel, encode(method.input, request), options);
		case "bidi_streaming":
			return (options: CallOptions = {}) => duplex(method, channel, options);
		case "client_streaming":
			throw new MillraceError("unimplemented", `${methodPath(method)}: client streaming has no user here`);
	}
}

const identity = (bytes: Buffer) => bytes;

async function unary(method: DescMethod, channel: Channel, bytes: Buffer, options: CallOptions) {
	const answer = await new Promise<Buffer>((resolve, reject) => {
		const call = channel.grpc.makeUnaryRequest(
			methodPath(method),
			identity,
			identity,
			bytes,
			new Metadata(),
			(error, response) => {
				options.signal?.removeEventListener("abort", cancel);
				if (error) {
					reject(fromStatus(error));
				} else {
					resolve(response as Buffer);
				}
			},
		);
		const cancel = () => call.cancel();
		options.signal?.addEventListener("abort", cancel, { once: true });
		if (options.signal?.aborted) {
			cancel();
		}
	});
	return decode(method.output, answer);
}

async function* serverStream(method: DescMethod, channel: Channel, bytes: Buffer, options: CallOptions) {
	const open = () =>
		channel.grpc.makeServerStreamRequest(methodPath(method), identity, identity, bytes, new Metadata());
	let stream = open();
	const cancel = () => stream.cancel();
	options.signal?.addEventListener("abort", cancel, { once: true });
	try {
		let messages: AsyncIterator<Buffer> = stream[Symbol.asyncIterator]();
		let next = await repeating(method, channel, options, async (attempt) => {
			if (attempt > 1) {
				stream = open();
				messages = stream[Symbol.asyncIterator]();
			}
			return messages.next().catch((error) => {
				throw fromStatus(error);
			});
		});
		while (!next.done) {
			yield decode(method.output, next.value);
			next = await messages.next().catch((error) => {
				throw fromStatus(error);
			});
		}
	} finally {
		options.signal?.removeEventListener("abort", cancel);
		// The reader may have stopped early. What grpc-js says of the cancellation is nobody's concern.
		stream.on("error", () => {});
		stream.cancel();
	}
}

function duplex(method: DescMethod, channel: Channel, options: CallOptions): DuplexCall<never, unknown> {
	const grpcOptions: GrpcCallOptions = {};
	const stream = channel.grpc.makeBidiStreamRequest(
		methodPath(method),
		identity,
		identity,
		new Metadata(),
		grpcOptions,
	);
	options.signal?.addEventListener("abort", () => stream.cancel(), { once: true });
	return {
		send: (message) => void stream.write(encode(method.input, message)),
		end: () => void stream.end(),
		cancel: () => stream.cancel(),
		async *[Symbol.asyncIterator]() {
			try {
				for await (const bytes of stream) {
					channel.reached = true;
					yield decode(method.output, bytes as Buffer);
				}
			} catch (error) {
				throw fromStatus(error);
			} finally {
				stream.on("error", () => {});
				stream.cancel();
			}
		},
	};
}

/** Runs `attempt` again while it fails with `unavailable` and the method may be repeated. */
async function repeating<T>(
	method: DescMethod,
	channel: Channel,
	options: CallOptions,
	attempt: (count: number) => Promise<T>,
): Promise<T> {
	const repeatable = method.idempotency !== MethodOptions_IdempotencyLevel.IDEMPOTENCY_UNKNOWN;
	const start = Date.now();
	for (let count = 1; ; count++) {
		try {
			const result = await attempt(count);
			channel.reached = true;
			return result;
		} catch (error) {
			const failure = fromStatus(error);
			if (options.signal?.aborted) {
				throw new MillraceError("cancelled", "cancelled by the caller", { cause: error });
			}
			if (failure.code !== "unavailable") {
				channel.reached = true;
				throw failure;
			}
			const limit = options.retryMs ?? (channel.reached ? channel.retryMs : channel.connectMs);
			const wait = backoffMs(count);
			if (!repeatable || Date.now() - start + wait > limit) {
				throw unreachable(channel, Date.now() - start, failure);
			}
			await sleep(wait, options.signal);
		}
	}
}

function unreachable(channel: Channel, waitedMs: number, cause: MillraceError): MillraceError {
	const seconds = (waitedMs / 1000).toFixed(1);
	return new MillraceError(
		"unavailable",
		`no answer from a Millrace server at ${channel.address} for ${seconds} s; is it running? (${cause.message})`,
		{ cause },
	);
}
