import type { DescMethod, JsonObject } from "@bufbuild/protobuf";
import { methodPath } from "../../src/rpc/definition.js";
import { messageHead } from "./raw-grpc.js";

/** What came back of a call by HTTP. */
export interface HttpAnswer {
	readonly status: number;
	readonly headers: Headers;
	/** The messages that came: one of a call with one answer, any number of a stream. */
	readonly messages: readonly JsonObject[];
	/** The error that it ended with; undefined if it ended well. */
	readonly error: { readonly code: string; readonly message: string } | undefined;
}

/** Options of `httpCall`. */
export interface HttpCallOptions {
	/** The token to show. Default: none. */
	readonly token?: string | undefined;
	/** Added to the headers, or put in their place. */
	readonly headers?: Record<string, string>;
	readonly signal?: AbortSignal;
}

/**
 * Calls a method by HTTP, in the form that its kind takes, and reads what comes to its end.
 *
 * @param address The server's `httpAddress`.
 * @param body The request, or its text as JSON.
 */
export async function httpCall(
	address: string | undefined,
	method: DescMethod,
	body: object | string = {},
	options: HttpCallOptions = {},
): Promise<HttpAnswer> {
	const response = await httpRequest(address, method, body, options);
	const { status, headers } = response;
	if (!headers.get("content-type")?.startsWith("application/connect+json")) {
		const answer = (await response.json()) as JsonObject;
		return status === 200
			? { status, headers, messages: [answer], error: undefined }
			: { status, headers, messages: [], error: answer as unknown as HttpAnswer["error"] };
	}
	const messages: JsonObject[] = [];
	for await (const { isEnd, message } of envelopesOf(response)) {
		if (isEnd) {
			return { status, headers, messages, error: message.error as unknown as HttpAnswer["error"] };
		}
		messages.push(message);
	}
	throw new Error("the stream ended without its last envelope");
}

/** Calls a method by HTTP, and returns the response as soon as it begins. */
export function httpRequest(
	address: string | undefined,
	method: DescMethod,
	body: object | string = {},
	{ token, headers, signal }: HttpCallOptions = {},
): Promise<Response> {
	const streams = method.methodKind !== "unary";
	const text = typeof body === "string" ? body : JSON.stringify(body);
	return fetch(`${address}${methodPath(method)}`, {
		method: "POST",
		headers: {
			"content-type": streams ? "application/connect+json" : "application/json",
			...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
			...headers,
		},
		body: streams ? envelope(text) : text,
		...(signal === undefined ? {} : { signal }),
	});
}

/** Puts a text in an envelope of the Connect protocol. */
export function envelope(text: string): Buffer<ArrayBuffer> {
	return Buffer.concat([messageHead(Buffer.byteLength(text)), Buffer.from(text)]);
}

/** Reads the envelopes of a stream as they come. */
export async function* envelopesOf(
	response: Response,
): AsyncGenerator<{ readonly isEnd: boolean; readonly message: JsonObject }> {
	let rest = Buffer.alloc(0);
	for await (const chunk of response.body ?? []) {
		rest = Buffer.concat([rest, chunk]);
		while (rest.length >= 5 && rest.length >= 5 + rest.readUInt32BE(1)) {
			const end = 5 + rest.readUInt32BE(1);
			yield { isEnd: ((rest[0] ?? 0) & 2) !== 0, message: JSON.parse(rest.toString("utf8", 5, end)) };
			rest = rest.subarray(end);
		}
	}
}
