import { createHash } from "node:crypto";
import { MillraceError } from "../errors.js";

/** Writes the place where a stream goes on. `stream` names the stream with what it is filtered by. */
export function writeResumeToken(stream: string, position: readonly number[]): string {
	return Buffer.from(JSON.stringify([digest(stream), ...position])).toString("base64url");
}

/**
 * Reads the place where a stream goes on, of so many numbers; undefined for the start of it.
 *
 * Throws `invalid_argument` if the token is not one of this stream.
 */
export function parseResumeToken<Position extends readonly number[]>(
	stream: string,
	token: string,
	length: Position["length"],
): Position | undefined {
	if (token === "") {
		return undefined;
	}
	const [name, ...position] = parsed(token);
	if (name !== digest(stream) || position.length !== length || !position.every((part) => Number.isSafeInteger(part))) {
		throw new MillraceError(
			"invalid_argument",
			`resume_token ${JSON.stringify(token)} is not one of this stream; pass that of its last message`,
		);
	}
	return position as unknown as Position;
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
