import type { DescMessage, DescMethod, DescService, Message, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { ServerDuplexStream, ServerUnaryCall, ServerWritableStream, sendUnaryData } from "@grpc/grpc-js";
import { MillraceError } from "../errors.js";
import type { AdmittedCall } from "./admitted-call.js";
import { decode, encode, methodPath } from "./definition.js";
import { drained } from "./drained.js";
import type { Caller, Gate } from "./gate.js";
import { takeAdmitted } from "./incoming-call.js";
import type { CallLimits } from "./limits/call-limits.js";
import type { CallMemory } from "./limits/call-memory.js";
import { type ErrorLog, toStatus } from "./status.js";

/** What a handler knows of the call besides the request. */
export interface CallContext {
	/** Aborted when the caller has gone away, or may no longer go on. */
	readonly signal: AbortSignal;
	/** The caller's address, as `host:port`. */
	readonly peer: string;
	/** Who calls. */
	readonly caller: Caller;
	/**
	 * Reads what a stream sends next, once the server has room for it: while callers leave much unread, those who do wait.
	 *
	 * Throws the reason of the signal if it is aborted before.
	 */
	inTurn<T>(read: () => Promise<T>): Promise<T>;
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

/** The function that answers some method. */
// biome-ignore lint/suspicious/noExplicitAny: the types of a method's messages are checked in ServiceHandlers and erased here, once
export type AnyHandler = (request: any, context: any) => any;

/** Returns the methods of a service, each with the function that answers it. */
export function methodHandlers<S extends DescService>(
	service: S,
	handlers: ServiceHandlers<S>,
): (readonly [method: DescMethod, handler: AnyHandler])[] {
	const byName = handlers as Record<string, AnyHandler>;
	return service.methods.map((method) => [method, byName[method.localName] as AnyHandler]);
}

/** What the calls of a server have in common. */
export interface CallHost {
	/** Lets calls in. */
	readonly gate: Gate;
	/** Counts calls. */
	readonly limits: CallLimits;
	/** What calls hold. */
	readonly memory: CallMemory;
	/** Receives what goes wrong inside. */
	readonly log: ErrorLog;
}

/** Makes grpc-js's implementation of a service from its handlers. */
export function grpcImplementation<S extends DescService>(service: S, handlers: ServiceHandlers<S>, host: CallHost) {
	return Object.fromEntries(
		methodHandlers(service, handlers).map(([method, handler]) => [
			method.localName,
			grpcHandler(method, handler, host.log),
		]),
	);
}

function grpcHandler(method: DescMethod, handler: AnyHandler, log: ErrorLog) {
	switch (method.methodKind) {
		case "unary":
			return async (call: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>) => {
				const admitted = takeAdmitted(call.metadata);
				try {
					const answer = encode(method.output, await admitted.one(handler, decode(method.input, call.request)));
					admitted.end();
					callback(null, answer);
				} catch (error) {
					admitted.end(error);
					callback(toStatus(error, methodPath(method), log));
				}
			};
		case "server_streaming":
			return async (call: ServerWritableStream<Buffer, Buffer>) => {
				const admitted = takeAdmitted(call.metadata);
				try {
					const request: Message = decode(method.input, call.request);
					for await (const message of admitted.many<Message, MessageInitShape<DescMessage>>(handler, request)) {
						if (!call.write(encode(method.output, message))) {
							await drained(call, admitted.context.signal);
						}
					}
					admitted.end();
					if (!admitted.isGone) {
						call.end();
					}
				} catch (error) {
					admitted.end(error);
					if (!admitted.isGone) {
						call.emit("error", toStatus(error, methodPath(method), log));
					}
				}
			};
		case "bidi_streaming":
			return async (call: ServerDuplexStream<Buffer, Buffer>) => {
				// A broken connection is told by the signal; without a listener grpc-js's error event would be thrown.
				call.on("error", () => {});
				const admitted = takeAdmitted(call.metadata);
				try {
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
					admitted.end(error);
					if (!admitted.isGone) {
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
