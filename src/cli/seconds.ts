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

/** Reads the time between two questions, in seconds, from the command line. */
export function intervalSeconds(text: string): number {
	const value = toSeconds(text);
	if (value === undefined || value < 0.1) {
		throw new InvalidArgumentError("Give a number of seconds, from 0.1 to 86400.");
	}
	return value;
}
