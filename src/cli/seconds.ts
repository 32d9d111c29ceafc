import { InvalidArgumentError } from "commander";
import { toSeconds } from "../grace.js";

/** Reads a number of seconds from the command line. */
export function seconds(text: string): number {
	const value = toSeconds(text);
	if (value === undefined) {
		throw new InvalidArgumentError("Give a number of seconds, from 0 to 86400.");
	}
	return value;
}
