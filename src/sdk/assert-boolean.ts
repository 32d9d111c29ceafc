import { MillraceError } from "../errors.js";
import { shown } from "./shown.js";

/** Throws `invalid_argument` if a value is neither true nor false. */
export function assertBoolean(value: unknown, name: string): asserts value is boolean {
	if (typeof value !== "boolean") {
		throw new MillraceError("invalid_argument", `${name} is ${shown(value)}; it must be true or false`);
	}
}
