import { MillraceError } from "../errors.js";
import { shown } from "./shown.js";

/** Throws `invalid_argument` if a value is not a whole number from 1 to 2,147,483,647, as ids are. */
export function assertNumber(value: number, name: string): void {
	if (!Number.isInteger(value) || value < 1 || value > 2_147_483_647) {
		throw new MillraceError("invalid_argument", `${name} is ${shown(value)}; it must be a whole number from 1`);
	}
}
