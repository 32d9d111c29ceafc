import { MillraceError } from "../errors.js";

/** Returns a part of an answer. Throws `internal` if the server left it out. */
export function given<T>(message: T | undefined): T {
	if (message === undefined) {
		throw new MillraceError("internal", "the server's answer lacks its main part; are its version and ours the same?");
	}
	return message;
}
