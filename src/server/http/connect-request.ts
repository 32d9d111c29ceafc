import type { IncomingMessage } from "node:http";
import type { DescMethod } from "@bufbuild/protobuf";
import { base64Decode } from "@bufbuild/protobuf/wire";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import type { UniversalServerRequest } from "@connectrpc/connect/protocol";
import { MillraceError } from "../../errors.js";
import type { Arrival } from "../../rpc/admitted-call.js";
import { peerOf } from "../../rpc/peer-of.js";

/** Returns the verbs that a method takes by the Connect protocol: GET where it only reads and gives one answer. */
export function verbsOf(method: DescMethod): string[] {
	const isRead = method.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;
	return isRead && method.methodKind === "unary" ? ["GET", "POST"] : ["POST"];
}

/**
 * Returns what is wrong with the form in which a request to a method says that it comes, and what to send instead;
 * undefined if it is right.
 *
 * Only JSON that is called so is taken: a page of another site can have a browser send anything else without asking.
 */
export function wrongForm(method: DescMethod, request: IncomingMessage): string | undefined {
	if (request.method === "GET") {
		const query = queryOf(request);
		if (query.get("encoding") !== "json") {
			const encoding = shown(query.get("encoding"));
			return `encoding is ${encoding}; send ?encoding=json&message=… with the request as JSON, encoded for a URL`;
		}
		return query.get("base64") === "1" && !isBase64(query.get("message") ?? "")
			? `message is ${shown(query.get("message"))}, which is not base64; encode it so, or leave out base64=1`
			: undefined;
	}
	const type = request.headers["content-type"];
	const [isJson, streams] = /^application\/(connect\+)?json *(?:; *charset="?utf-?8"? *)?$/i.exec(type ?? "") ?? [];
	if (method.methodKind === "unary") {
		return isJson !== undefined && streams === undefined
			? undefined
			: `content-type is ${shown(type)}; send the header content-type: application/json, and the request as JSON`;
	}
	return isJson !== undefined && streams !== undefined
		? undefined
		: `content-type is ${shown(type)}, and ${method.name} answers by a stream; send the header content-type: ` +
				"application/connect+json, and the request as JSON in an envelope";
}

/**
 * Returns a call as it arrives.
 *
 * Throws `invalid_argument` if it says no number of milliseconds that it may take.
 */
export function arrivalOf(request: IncomingMessage, gone: AbortSignal): Arrival {
	const { headers, rawHeaders } = request;
	const timeout = headers["connect-timeout-ms"];
	if (timeout !== undefined && !/^\d{1,10}$/.test(String(timeout))) {
		const message = `connect-timeout-ms is ${shown(String(timeout))}; send a whole number of milliseconds`;
		throw new MillraceError("invalid_argument", message);
	}
	return {
		gone,
		peer: peerOf(request.socket),
		metadataBytes: rawHeaders.reduce((sum, text) => sum + text.length, 0),
		authorization: headers.authorization,
		timeoutMs: timeout === undefined ? undefined : Number(timeout),
	};
}

/** Returns a request as Connect's library reads it. */
export function connectRequest(
	request: IncomingMessage,
	body: AsyncIterable<Uint8Array>,
	gone: AbortSignal,
): UniversalServerRequest {
	const header = new Headers();
	for (const name of headersThatMatter) {
		const value = request.headers[name];
		if (value !== undefined) {
			header.set(name, String(value));
		}
	}
	// Its form was looked at, which may spell it as the library does not.
	header.set("content-type", /connect\+/i.test(header.get("content-type") ?? "") ? streamForm : unaryForm);
	return {
		httpVersion: request.httpVersion,
		method: request.method ?? "",
		url: new URL(request.url ?? "/", "http://localhost").href,
		header,
		body,
		signal: gone,
	};
}

const unaryForm = "application/json";
const streamForm = "application/connect+json";

/** The deadline is not among them: the call has it. */
const headersThatMatter = [
	"content-type",
	"content-length",
	"content-encoding",
	"accept-encoding",
	"connect-content-encoding",
	"connect-accept-encoding",
	"connect-protocol-version",
];

function queryOf(request: IncomingMessage): URLSearchParams {
	return new URL(request.url ?? "/", "http://localhost").searchParams;
}

function isBase64(text: string): boolean {
	try {
		base64Decode(text);
		return true;
	} catch {
		return false;
	}
}

function shown(value: string | null | undefined): string {
	return value === null || value === undefined ? "missing" : JSON.stringify(value);
}
