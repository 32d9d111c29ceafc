import type { DescMessage, DescMethod, DescService, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { Metadata, ServerDuplexStream, ServerUnaryCall, ServerWritableStream, sendUnaryData } from "@grpc/grpc-js";
import { MillraceError } from "../errors.js";
import { AdmittedCall, type Arrival } from "./admitted-call.js";
import { decode, encode, methodPath } from "./definition.js";
import type { Caller, Gate } from "./gate.js";
import { type ErrorLog, toStatus } from "./status.js";

/** What a handler knows of the call besides the request. */
export interface CallContext {
	/** Aborted when the caller has gone away, or may no longer go on. */
	readonly signal: AbortSignal;
	/** The caller's address, as `host:port`. */
	readonly peer: string;
	/** Who calls. */
	readonly caller: Caller;
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

/** What the calls of a server have in common. */
export interface CallHost {
	/** Lets calls in. */
	readonly gate: Gate;
	/** Receives what goes wrong inside. */
	readonly log: ErrorLog;
}

/** Makes grpc-js's implementation of a service from its handlers. */
export function grpcImplementation<S extends DescService>(service: S, handlers: ServiceHandlers<S>, host: CallHost) {
	return Object.fromEntries(
		service.methods.map((method) => [
			method.localName,
			grpcHandler(method, (handlers as Record<string, AnyHandler>)[method.localName] as AnyHandler, host),
		]),
	);
}

function grpcHandler(method: DescMethod, handler: AnyHandler, { gate, log }: CallHost) {
	switch (method.methodKind) {
		case "unary":
			return async (call: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>) => {
				let admitted: AdmittedCall | undefined;
				try {
					admitted = await AdmittedCall.enter(gate, method, arrivalOf(call, goneSignal(call)));
					const request = await admitted.checked(decode(method.input, call.request));
					const answer = encode(method.output, await admitted.answer(handler(request, admitted.context)));
					admitted.end();
					callback(null, answer);
				} catch (error) {
					admitted?.end(error);
					callback(toStatus(error, methodPath(method), log));
				}
			};
		case "server_streaming":
			return async (call: ServerWritableStream<Buffer, Buffer>) => {
				const gone = goneSignal(call);
				let admitted: AdmittedCall | undefined;
				try {
					admitted = await AdmittedCall.enter(gate, method, arrivalOf(call, gone));
					const request = await admitted.checked(decode(method.input, call.request));
					const { signal } = admitted.context;
					for await (const message of handler(request, admitted.context)) {
						if (signal.aborted) {
							break;
						}
						if (!call.write(encode(method.output, message))) {
							await drained(call, signal);
						}
					}
					admitted.throwIfStopped();
					admitted.end();
					if (!gone.aborted) {
						call.end();
					}
				} catch (error) {
					admitted?.end(error);
					if (!gone.aborted) {
						call.emit("error", toStatus(error, methodPath(method), log));
					}
				}
			};
		case "bidi_streaming":
			return async (call: ServerDuplexStream<Buffer, Buffer>) => {
				const gone = goneSignal(call);
				// A broken connection is told by the signal; without a listener grpc-js's error event would be thrown.
				call.on("error", () => {});
				let admitted: AdmittedCall | undefined;
				try {
					admitted = await AdmittedCall.enter(gate, method, arrivalOf(call, gone));
					const { context } = admitted;
					const send = (message: MessageInitShape<DescMessage>) => {
						if (!context.signal.aborted) {
							call.write(encodeOnce(method.output, message));
						}
					};
					await admitted.answer(handler(decodedRequests(method, call, admitted), { ...context, send }));
					admitted.throwIfStopped();
					admitted.end();
					call.end();
				} catch (error) {
					admitted?.end(error);
					if (!gone.aborted) {
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

async function* decodedRequests(method: DescMethod, call: ServerDuplexStream<Buffer, Buffer>, admitted: AdmittedCall) {
	let isFirst = true;
	// An iterator that destroys the stream when it ends would take away the way back, and the call would never end.
	for await (const bytes of call.iterator({ destroyOnReturn: false })) {
		const request = decode(method.input, bytes);
		if (isFirst) {
			isFirst = false;
			await admitted.checked(request);
		}
		yield request;
	}
}

interface GrpcCall {
	readonly cancelled: boolean;
	readonly metadata: Metadata;
	getPeer(): string;
	on(event: "cancelled", listener: () => void): unknown;
}

function goneSignal(call: GrpcCall): AbortSignal {
	const gone = new AbortController();
	if (call.cancelled) {
		gone.abort();
	}
	call.on("cancelled", () => gone.abort());
	return gone.signal;
}

function arrivalOf(call: GrpcCall, gone: AbortSignal): Arrival {
	let metadataBytes = 0;
	for (const [name, values] of Object.entries(call.metadata.toHttp2Headers())) {
		for (const value of [values].flat()) {
			metadataBytes += name.length + String(value).length;
		}
	}
	const [authorization] = call.metadata.get("authorization");
	return { gone, peer: call.getPeer(), metadataBytes, authorization: authorization?.toString() };
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
