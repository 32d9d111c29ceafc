import { MillraceError } from "../errors.js";
import { shown } from "./shown.js";

/** Throws `invalid_argument` if a value cannot be the path of a file or a directory. */
export function assertPath(value: unknown, name: string): asserts value is string {
	if (typeof value !== "string" || value === "" || value.includes("\0")) {
		throw new MillraceError("invalid_argument", `${name} is ${shown(value)}; give the path of a file or a directory`);
	}
}
