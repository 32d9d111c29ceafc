import { MillraceError } from "../errors.js";

/**
 * Throws `invalid_argument` if a method's options are not an object, as in
 * `options of createModel must be an object: { description: "digits" }`.
 *
 * @param first The option that Python's next positional argument would be.
 */
export function assertOptions(options: unknown, method: string, first: string): void {
	if (typeof options === "object" && options !== null && !Array.isArray(options)) {
		return;
	}
	const isShown = typeof options === "string" || typeof options === "number" || typeof options === "boolean";
	const example = isShown ? JSON.stringify(options) : "…";
	throw new MillraceError("invalid_argument", `options of ${method} must be an object: { ${first}: ${example} }`);
}
