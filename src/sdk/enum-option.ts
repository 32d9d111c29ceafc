import { MillraceError } from "../errors.js";
import { shown } from "./shown.js";

/** In which direction a list is sorted: "ASC" is the smallest first. Python: OrderBy */
export type OrderBy = "ASC" | "DESC";

/**
 * Returns the number of an option that is the name of an enum's value, as in `{ sortBy: "NAME" }`; 0, the list's own
 * default, if it is not given.
 *
 * Throws `invalid_argument` for another value, naming those that there are.
 */
export function enumOption<E extends Record<string, string | number>>(
	names: E,
	value: string | undefined,
	option: string,
): Extract<E[keyof E], number> {
	const number = value === undefined ? 0 : typeof value === "string" ? names[value] : undefined;
	if (typeof number !== "number" || (value !== undefined && number === 0)) {
		const known = Object.keys(names).filter((name) => /\D/.test(name) && names[name] !== 0);
		throw new MillraceError(
			"invalid_argument",
			`${option} is ${shown(value)}; it must be one of ${known.map(shown).join(", ")}`,
		);
	}
	return number as Extract<E[keyof E], number>;
}
