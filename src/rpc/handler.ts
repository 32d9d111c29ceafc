import type { DescMessage, DescMethod, DescService, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { ServerDuplexStream, ServerUnaryCall, ServerWritableStream, sendUnaryData } from "@grpc/grpc-js";
import { MillraceError } from "../errors.js";
import { decode, encode, methodPath } from "./definition.js";
import { type ErrorLog, toStatus } from "./status.js";

/** What a handler knows of the call besides the request. */
export interface CallContext {
	/** Aborted when the caller has gone away. */
	readonly signal: AbortSignal;
	/** The caller's address. */
	readonly peer: string;
}

/** The server's end of a stream in both directions. The call ends when the handler's promise settles. */
export interface DuplexContext<O> extends CallContext {
	/** Sends a message. Does nothing once the caller has gone away. One that is frozen is encoded once for all streams. */
	send(message: O): void;
}

/** The function that answers a method. */
export type Handler<M> = M extends {
	methodKind: infer Kind;
	input: infer I extends DescMessage;
	output: infer O extends DescMessage;
}
	? Kind extends "unary"
		? (request: MessageShape<I>, context: CallContext) => Promise<MessageInitShape<O>>
		: Kind extends "server_streaming"
			? (request: MessageShape<I>, context: CallContext) => AsyncIterable<MessageInitShape<O>>
			: Kind extends "bidi_streaming"
				? (requests: AsyncIterable<MessageShape<I>>, context: DuplexContext<MessageInitShape<O>>) => Promise<void>
				: never
	: never;

/** A service as a plain object with a function for each method. */
export type ServiceHandlers<S extends DescService> = { [K in keyof S["method"]]: Handler<S["method"][K]> };

// biome-ignore lint/suspicious/noExplicitAny: the types of a method's messages are checked in ServiceHandlers and erased here, once
type AnyHandler = (request: any, context: any) => any;

/** Makes grpc-js's implementation of a service from its handlers. */
export function grpcImplementation<S extends DescService>(service: S, handlers: ServiceHandlers<S>, log: ErrorLog) {
	return Object.fromEntries(
		service.methods.map((method) => [
			method.localName,
			grpcHandler(method, (handlers as Record<string, AnyHandler>)[method.localName] as AnyHandler, log),
		]),
	);
}

function grpcHandler(method: DescMethod, handler: AnyHandler, log: ErrorLog) {
	switch (method.methodKind) {
		case "unary":
			return async (call: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>) => {
				try {
					const request = decode(method.input, call.request);
					callback(null, encode(method.output, await handler(request, contextOf(call))));
				} catch (error) {
					callback(toStatus(error, methodPath(method), log));
				}
			};
		case "server_streaming":
			return async (call: ServerWritableStream<Buffer, Buffer>) => {
				const context = contextOf(call);
				try {
					for await (const message of handler(decode(method.input, call.request), context)) {
						if (context.signal.aborted) {
							return;
						}
						if (!call.write(encode(method.output, message))) {
							await drained(call, context.signal);
						}
					}
					call.end();
				} catch (error) {
					if (!context.signal.aborted) {
						call.emit("error", toStatus(error, methodPath(method), log));
					}
				}
			};
		case "bidi_streaming":
			return async (call: ServerDuplexStream<Buffer, Buffer>) => {
				const context = contextOf(call);
				const send = (message: MessageInitShape<DescMessage>) => {
					if (!context.signal.aborted) {
						call.write(encodeOnce(method.output, message));
					}
				};
				// A broken connection is told by the signal; without a listener grpc-js's error event would be thrown.
				call.on("error", () => {});
				try {
					await handler(decodedRequests(method, call), { ...context, send });
					call.end();
				} catch (error) {
					if (!context.signal.aborted) {
						call.emit("error", toStatus(error, methodPath(method), log));
					}
				}
			};
		case "client_streaming":
			throw new MillraceError("unimplemented", `${methodPath(method)}: client streaming has no user here`);
	}
}

const encoded = new WeakMap<object, Buffer>();

function encodeOnce(schema: DescMessage, message: MessageInitShape<DescMessage>): Buffer {
	const bytes = encoded.get(message) ?? encode(schema, message);
	if (Object.isFrozen(message)) {
		encoded.set(message, bytes);
	}
	return bytes;
}

async function* decodedRequests(method: DescMethod, call: ServerDuplexStream<Buffer, Buffer>) {
	// An iterator that destroys the stream when it ends would take away the way back, and the call would never end.
	for await (const bytes of call.iterator({ destroyOnReturn: false })) {
		yield decode(method.input, bytes);
	}
}

function contextOf(call: {
	cancelled: boolean;
	getPeer(): string;
	on(event: "cancelled", listener: () => void): unknown;
}): CallContext {
	const gone = new AbortController();
	if (call.cancelled) {
		gone.abort();
	}
	call.on("cancelled", () => gone.abort());
	return { signal: gone.signal, peer: call.getPeer() };
}

function drained(call: ServerWritableStream<Buffer, Buffer>, signal: AbortSignal): Promise<void> {
	return new Promise((resolve) => {
		const done = () => {
			call.off("drain", done);
			signal.removeEventListener("abort", done);
			resolve();
		};
		call.once("drain", done);
		signal.addEventListener("abort", done, { once: true });
	});
}
