import { InvalidArgumentError } from "commander";

/** Reads the number of a trial from the command line. */
export function trialId(text: string): number {
	if (!/^[1-9]\d{0,8}$/.test(text)) {
		throw new InvalidArgumentError("Give the number of a trial, as millrace run prints it.");
	}
	return Number(text);
}
