import type { IncomingMessage, ServerResponse } from "node:http";
import type { DescMethod, DescMethodServerStreaming, DescMethodUnary, DescService, Message } from "@bufbuild/protobuf";
import { type ConnectError, createConnectRouter, createContextKey, createContextValues } from "@connectrpc/connect";
import type { UniversalHandler, UniversalServerRequest, UniversalServerResponse } from "@connectrpc/connect/protocol";
import { isMillraceError, MillraceError } from "../../errors.js";
import { AuthService } from "../../gen/millrace/v1/auth_service_pb.js";
import { AdmittedCall } from "../../rpc/admitted-call.js";
import { maxMessageBytes } from "../../rpc/channel.js";
import { methodPath } from "../../rpc/definition.js";
import { drained } from "../../rpc/drained.js";
import { type AnyHandler, type CallHost, methodHandlers, type ServiceHandlers } from "../../rpc/handler.js";
import { peerOf } from "../../rpc/peer-of.js";
import { pushbackOf } from "../../rpc/pushback.js";
import { errorCodeOf, toStatus } from "../../rpc/status.js";
import { connectError } from "./connect-error.js";
import { arrivalOf, connectRequest, verbsOf, wrongForm } from "./connect-request.js";
import { gzipCompression } from "./gzip.js";
import { heldBody } from "./held-body.js";
import type { HttpServer } from "./http-server.js";
import { refusesVerb, sendError } from "./json-answer.js";
import { jsonFault } from "./json-fault.js";
import { RequestBody } from "./request-body.js";

/** A method, and what speaks the Connect protocol for it; undefined where HTTP cannot carry the method. */
interface Route {
	readonly method: DescMethod;
	readonly speak: UniversalHandler | undefined;
}

/** The gRPC services as JSON over HTTP, by the Connect protocol: calls with one answer, and those answered by a stream. */
export class ConnectServices {
	readonly #http: HttpServer;
	readonly #host: CallHost;
	readonly #routes = new Map<string, Route>();

	/** @param http The listener that the services are mounted in. */
	constructor(http: HttpServer, host: CallHost) {
		this.#http = http;
		this.#host = host;
	}

	/** Adds a service. */
	add<S extends DescService>(service: S, handlers: ServiceHandlers<S>): void {
		for (const [method, handler] of methodHandlers(service, handlers)) {
			this.#routes.set(methodPath(method), { method, speak: this.#speaker(method, handler) });
		}
		this.#http.mount(`/${service.typeName}/`, async (request, response, path) => {
			const route = this.#routes.get(path);
			if (route !== undefined) {
				await this.#serve(route, request, response);
				return;
			}
			const names = service.methods.map(({ name }) => name).join(", ");
			const message = `${service.typeName} has no method ${path.slice(service.typeName.length + 2)}; it has ${names}`;
			// Not `not_found`, so that programs tell it from something that a method did not find.
			sendError(response, { code: "unimplemented", message }, 404);
		});
	}

	async #serve({ method, speak }: Route, request: IncomingMessage, response: ServerResponse): Promise<void> {
		if (refusesVerb(request, response, verbsOf(method))) {
			return;
		}
		const message = speak === undefined ? undefined : wrongForm(method, request);
		if (message !== undefined) {
			sendError(response, { code: "invalid_argument", message }, 415);
			return;
		}
		const gone = new AbortController();
		const onClose = () => gone.abort();
		request.socket.once("close", onClose);
		const body = new RequestBody(request, response);
		const asked = connectRequest(request, body, gone.signal);
		const peer = peerOf(request.socket);
		const ends: (() => void)[] = [];
		let call: AdmittedCall | undefined;
		let answer: UniversalServerResponse;
		try {
			try {
				const arrival = arrivalOf(request, gone.signal);
				ends.push(
					this.#host.limits.begin(peer, method.methodKind === "unary" ? "call" : "stream", arrival.metadataBytes),
				);
				call = await AdmittedCall.enter(this.#host, method, arrival);
				if (speak === undefined) {
					const words = `${method.name} streams in both directions, which HTTP does not carry; call it by gRPC`;
					throw new MillraceError("unimplemented", words);
				}
				const served: ServedCall = { call, gone: gone.signal, isReached: false };
				const held = this.#held(call, method, request, body, (end) => ends.push(end));
				answer = await speak({ ...asked, body: held, contextValues: createContextValues().set(servedCall, served) });
				if (!served.isReached) {
					throwFault(method, body, answer);
				}
			} catch (error) {
				call?.end(error);
				if (pushbackOf(error) !== undefined) {
					await this.#host.limits.untilRefused(peer, gone.signal);
				}
				const failure = this.#failure(method, error);
				if (speak === undefined) {
					sendError(response, { code: errorCodeOf(failure.code), message: failure.rawMessage });
					return;
				}
				// The library writes the error in the form that the caller expects.
				answer = await speak(failing(asked, failure));
			}
			const sent = (bytes: number) => this.#host.memory.answers.add(peer, bytes, () => request.socket.destroy());
			await write(answer, response, call?.context.signal ?? gone.signal, sent);
		} finally {
			request.socket.off("close", onClose);
			for (const end of ends) {
				end();
			}
			// Where no handler was reached, the request was no message, or did not come to its end.
			call?.end(new MillraceError(gone.signal.aborted ? "cancelled" : "invalid_argument", "no request"));
			if (call?.context.signal.aborted && !response.writableFinished) {
				// Whoever may not go on, and reads nothing, is not waited for.
				setTimeout(() => request.socket.destroy(), farewellMs).unref();
			}
		}
	}

	#speaker(method: DescMethod, handler: AnyHandler): UniversalHandler | undefined {
		const readMaxBytes = holdsSecrets(method) ? maxSecretBytes : maxMessageBytes;
		const router = createConnectRouter({ ...routerOptions, readMaxBytes });
		switch (method.methodKind) {
			case "unary":
				router.rpc(method as DescMethodUnary, async (request: Message, { values }) => {
					const served = values.get(servedCall);
					const { call } = served;
					served.isReached = true;
					try {
						const answer = await call.one(handler, request);
						call.end();
						return answer as Message;
					} catch (error) {
						call.end(error);
						throw this.#failure(method, error);
					}
				});
				break;
			case "server_streaming": {
				const failureOf = (error: unknown) => this.#failure(method, error);
				router.rpc(method as DescMethodServerStreaming, async function* (request: Message, { values }) {
					const served = values.get(servedCall);
					const { call, gone } = served;
					served.isReached = true;
					try {
						yield* call.many<Message, Message>(handler, request);
					} catch (error) {
						call.end(error);
						// What a handler throws because its caller has gone away is nobody's concern.
						throw gone.aborted ? error : failureOf(error);
					} finally {
						call.end();
					}
				});
				break;
			}
		}
		return router.handlers[0];
	}

	/** Returns a body that is read while there is memory for it. */
	async *#held(
		call: AdmittedCall,
		method: DescMethod,
		request: IncomingMessage,
		body: UniversalServerRequest["body"],
		onLent: (end: () => void) => void,
	): AsyncGenerator<Uint8Array> {
		const isStream = method.methodKind !== "unary";
		// The library says by itself what is wrong with one that is larger than any message.
		const maxBytes = call.maxRequestBytes === maxMessageBytes ? Number.POSITIVE_INFINITY : call.maxRequestBytes;
		const holder = { memory: this.#host.memory.requests, maxBytes, isStream, onLent };
		try {
			yield* heldBody(request, body as AsyncIterable<Uint8Array>, holder);
		} catch (error) {
			throw isMillraceError(error) ? this.#failure(method, error) : error;
		}
	}

	/** Returns what the library has to send for something thrown. */
	#failure(method: DescMethod, thrown: unknown): ConnectError {
		const { code, details } = toStatus(thrown, methodPath(method), this.#host.log);
		const failure = connectError(code, details);
		const waitMs = pushbackOf(thrown);
		if (waitMs !== undefined) {
			failure.metadata.set("retry-after", String(Math.ceil(waitMs / 1_000)));
		}
		return failure;
	}
}

/** A call that was let in, for the handler, which the library calls. */
interface ServedCall {
	readonly call: AdmittedCall;
	readonly gone: AbortSignal;
	/** Whether its request could be read, so that the handler was called. */
	isReached: boolean;
}

/** How long a caller who may not go on has to read why, in milliseconds. */
const farewellMs = 5_000;

/** The most bytes of a request that may hold a password; strangers send it too. */
const maxSecretBytes = 64 * 1024;

/** Throws what is wrong with a request that the library refused, where more can be said of it, or less has to be. */
function throwFault(method: DescMethod, body: RequestBody, { status }: UniversalServerResponse): void {
	const isSecret = holdsSecrets(method);
	const message = body.message();
	const fault = message && jsonFault(method.input, message, { showsValues: !isSecret });
	if (fault !== undefined) {
		throw fault;
	}
	if (isSecret && status === 400) {
		throw new MillraceError("invalid_argument", `the body is no ${method.input.typeName}`);
	}
}

function holdsSecrets({ parent }: DescMethod): boolean {
	return parent.typeName === AuthService.typeName;
}

/** Always there: handlers are called for calls of `#serve` alone. */
const servedCall = createContextKey({} as ServedCall);

const routerOptions = {
	grpc: false,
	grpcWeb: false,
	acceptCompression: [gzipCompression],
	jsonOptions: {
		// A field that is spelt wrong would be taken for one that is not given.
		ignoreUnknownFields: false,
		// Programs without the protos look for a count, also where it is zero.
		alwaysEmitImplicit: true,
		// Text in another encoding would be kept with its letters replaced.
		textDecoder: new TextDecoder("utf-8", { fatal: true }),
	},
};

/** Returns a request without a body, whose reading throws. */
function failing(asked: UniversalServerRequest, failure: ConnectError): UniversalServerRequest {
	// What it says of its body, which nobody reads, would be looked at first.
	const header = new Headers({ "content-type": asked.header.get("content-type") ?? "" });
	const body = { [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(failure) }) };
	return { ...asked, method: "POST", header, body };
}

async function write(
	{ status, header, body }: UniversalServerResponse,
	response: ServerResponse,
	signal: AbortSignal,
	sent: (bytes: number) => () => void,
): Promise<void> {
	if (status === 401) {
		response.setHeader("www-authenticate", "Bearer");
	}
	response.writeHead(status, Object.fromEntries(header ?? []));
	for await (const chunk of body ?? []) {
		if (response.destroyed) {
			break;
		}
		if (!response.write(chunk)) {
			const taken = sent(chunk.length);
			await drained(response, signal);
			taken();
		}
	}
	response.end();
}
