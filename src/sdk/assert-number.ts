import { MillraceError } from "../errors.js";
import { shown } from "./shown.js";

/** Throws `invalid_argument` if a value is not a whole number from `least` to 2,147,483,647; ids begin at 1. */
export function assertNumber(value: number, name: string, least = 1): void {
	if (!Number.isInteger(value) || value < least || value > 2_147_483_647) {
		throw new MillraceError("invalid_argument", `${name} is ${shown(value)}; it must be a whole number from ${least}`);
	}
}

/** Returns a list of ids as an array. Throws `invalid_argument` if it is none. */
export function checkedNumbers(values: readonly number[], name: string): number[] {
	if (!Array.isArray(values)) {
		throw new MillraceError("invalid_argument", `${name} is ${shown(values)}; it must be an array of numbers`);
	}
	for (const [i, value] of values.entries()) {
		assertNumber(value, `${name}[${i}]`);
	}
	return [...values];
}
