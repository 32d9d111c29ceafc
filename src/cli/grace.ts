import { InvalidArgumentError } from "commander";
import { MillraceError } from "../errors.js";

const defaultSeconds = 30;

/** Reads a number of seconds from the command line. */
export function seconds(text: string): number {
	const value = toSeconds(text);
	if (value === undefined) {
		throw new InvalidArgumentError("Give a number of seconds, from 0 to 86400.");
	}
	return value;
}

/**
 * How long workers may take to commit and end after a signal, in milliseconds: as the flag says, in seconds, else the
 * environment's MILLRACE_GRACE, which `millrace run` hands to `millrace launch`, else 30 s.
 *
 * Throws `invalid_argument` if the environment's is no number of seconds.
 */
export function graceMs(flag: number | undefined): number {
	const named = process.env.MILLRACE_GRACE;
	const value = flag ?? (named ? toSeconds(named) : defaultSeconds);
	if (value === undefined) {
		throw new MillraceError(
			"invalid_argument",
			`MILLRACE_GRACE is "${named}"; it must be a number of seconds, from 0 to 86400`,
		);
	}
	return value * 1_000;
}

function toSeconds(text: string): number | undefined {
	const value = Number(text);
	return text.trim() !== "" && value >= 0 && value <= 86_400 ? value : undefined;
}
