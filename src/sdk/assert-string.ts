import { MillraceError } from "../errors.js";
import { shown } from "./shown.js";

/** Throws `invalid_argument` if a value is not a text, or has half of a surrogate pair, which would arrive as another. */
export function assertString(value: unknown, name: string): asserts value is string {
	if (typeof value !== "string") {
		throw new MillraceError("invalid_argument", `${name} is ${shown(value)}; it must be a string`);
	}
	if (/\p{Surrogate}/u.test(value)) {
		throw new MillraceError("invalid_argument", `${name} has half of a surrogate pair; it must be Unicode`);
	}
}

/** Returns a list of texts as an array. Throws `invalid_argument` if it is none. */
export function checkedStrings(values: readonly string[], name: string): string[] {
	if (!Array.isArray(values)) {
		throw new MillraceError("invalid_argument", `${name} is ${shown(values)}; it must be an array of strings`);
	}
	for (const [i, value] of values.entries()) {
		assertString(value, `${name}[${i}]`);
	}
	return [...values];
}
