import { InvalidArgumentError } from "commander";

/** Reads the number of an experiment from the command line. */
export const experimentId = idArgument("an experiment");

/** Reads the number of a trial from the command line. */
export const trialId = idArgument("a trial");

function idArgument(noun: string): (text: string) => number {
	return (text) => {
		if (!/^[1-9]\d{0,8}$/.test(text)) {
			throw new InvalidArgumentError(`Give the number of ${noun}, as millrace run prints it.`);
		}
		return Number(text);
	};
}

/** Reads the number of a version of a model from the command line. */
export function versionNumber(text: string): number {
	if (!/^[1-9]\d{0,8}$/.test(text)) {
		throw new InvalidArgumentError("Give the number of a version, from 1.");
	}
	return Number(text);
}
