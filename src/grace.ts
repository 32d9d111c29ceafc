import { MillraceError } from "./errors.js";

const defaultSeconds = 30;

/** Returns a number of seconds, from 0 to 86,400, that a text says; undefined if it does not. */
export function toSeconds(text: string): number | undefined {
	const value = Number(text);
	return text.trim() !== "" && value >= 0 && value <= 86_400 ? value : undefined;
}

/**
 * How long workers may take to commit and end after a signal, in milliseconds: `given`, in seconds, else as the
 * environment's MILLRACE_GRACE says, which `millrace run` hands to `millrace launch`, else 30 s.
 *
 * Throws `invalid_argument` if the environment's is no number of seconds.
 */
export function graceMs(given?: number): number {
	const named = process.env.MILLRACE_GRACE;
	const value = given ?? (named ? toSeconds(named) : defaultSeconds);
	if (value === undefined) {
		throw new MillraceError(
			"invalid_argument",
			`MILLRACE_GRACE is "${named}"; it must be a number of seconds, from 0 to 86400`,
		);
	}
	return value * 1_000;
}
