import { MillraceError } from "../errors.js";

/**
 * Reads the id that a variable of the environment has; undefined if it is not set, or empty.
 *
 * Throws `invalid_argument` if it is no id.
 */
export function idFromEnvironment(name: string): number | undefined {
	const text = process.env[name];
	if (text === undefined || text === "") {
		return undefined;
	}
	if (!/^[1-9]\d{0,8}$/.test(text)) {
		throw new MillraceError("invalid_argument", `${name} is "${text}"; it must be a whole number of at least 1`);
	}
	return Number(text);
}
