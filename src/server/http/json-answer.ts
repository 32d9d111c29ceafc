import type { IncomingMessage, ServerResponse } from "node:http";
import type { ErrorCode } from "../../errors.js";
import { httpStatusOf } from "../../rpc/status.js";

/** Answers a request with a JSON object. */
export function sendJson(response: ServerResponse, status: number, body: object): void {
	const bytes = Buffer.from(JSON.stringify(body));
	response.writeHead(status, { "content-type": "application/json", "content-length": bytes.byteLength });
	response.end(bytes);
}

/**
 * Answers a request with an error, as the Connect protocol writes one: its code and message as JSON.
 *
 * @param status Default: the one of the code.
 */
export function sendError(
	response: ServerResponse,
	{ code, message }: { readonly code: ErrorCode; readonly message: string },
	status = httpStatusOf(code),
): void {
	if (status === 401) {
		response.setHeader("www-authenticate", "Bearer");
	}
	// Connect writes this one code with a single l.
	sendJson(response, status, { code: code === "cancelled" ? "canceled" : code, message });
}

/** Refuses a request whose verb is none of `verbs`, and returns whether it did. */
export function refusesVerb(request: IncomingMessage, response: ServerResponse, verbs: readonly string[]): boolean {
	if (verbs.includes(request.method ?? "")) {
		return false;
	}
	response.setHeader("allow", verbs.join(", "));
	const message = `the method is ${request.method}; this path takes ${verbs.join(" or ")}`;
	sendError(response, { code: "unimplemented", message }, 405);
	return true;
}
