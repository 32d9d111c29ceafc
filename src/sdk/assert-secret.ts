import { MillraceError } from "../errors.js";

/** As `assertString` for a password or a token, which no error shows: not even what is none. */
export function assertSecret(value: unknown, name: string): asserts value is string {
	if (typeof value !== "string" || /\p{Surrogate}/u.test(value)) {
		throw new MillraceError("invalid_argument", `${name} must be a string of Unicode; what was given is not shown`);
	}
}
