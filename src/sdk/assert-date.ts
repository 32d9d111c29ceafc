import { MillraceError } from "../errors.js";
import { shown } from "./shown.js";

/** Throws `invalid_argument` if a value is not a Date that tells a time. */
export function assertDate(value: unknown, name: string): asserts value is Date {
	if (!(value instanceof Date && !Number.isNaN(value.getTime()))) {
		throw new MillraceError("invalid_argument", `${name} is ${shown(value)}; it must be a Date`);
	}
}
