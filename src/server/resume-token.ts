import { createHash } from "node:crypto";
import { MillraceError } from "../errors.js";
import type { MetricPosition } from "./db/metric-pages.js";

/** Writes the place where a stream of metrics goes on. `stream` names the stream with what it is filtered by. */
export function writeResumeToken(stream: string, position: MetricPosition): string {
	return Buffer.from(JSON.stringify([digest(stream), ...position])).toString("base64url");
}

/**
 * Reads the place where a stream of metrics goes on; undefined for the start of it.
 *
 * Throws `invalid_argument` if the token is not one of this stream.
 */
export function parseResumeToken(stream: string, token: string): MetricPosition | undefined {
	if (token === "") {
		return undefined;
	}
	const [name, ...position] = parsed(token);
	if (name !== digest(stream) || position.length !== 5 || !position.every((part) => Number.isSafeInteger(part))) {
		throw new MillraceError(
			"invalid_argument",
			`resume_token ${JSON.stringify(token)} is not one of this stream; pass that of its last message`,
		);
	}
	return position as unknown as MetricPosition;
}

/** Keeps a token short, which every message carries, also where the stream is of many trials. */
function digest(stream: string): string {
	return createHash("sha256").update(stream).digest("base64url").slice(0, 16);
}

function parsed(token: string): unknown[] {
	try {
		const content: unknown = JSON.parse(Buffer.from(token, "base64url").toString());
		return Array.isArray(content) ? content : [];
	} catch {
		return [];
	}
}
