import { MillraceError } from "../errors.js";

/** How options are asserted. */
export interface OptionRules {
	/** Whether what is given instead may be a password, so that no error shows it. Default: false. */
	readonly isSecret?: boolean;
}

/**
 * Throws `invalid_argument` if a method's options are not an object, as in
 * `options of createModel must be an object: { description: "digits" }`.
 *
 * @param first The option that Python's next positional argument would be.
 */
export function assertOptions(
	options: unknown,
	method: string,
	first: string,
	{ isSecret = false }: OptionRules = {},
): void {
	if (typeof options === "object" && options !== null && !Array.isArray(options)) {
		return;
	}
	const isShown = !isSecret && ["string", "number", "boolean"].includes(typeof options);
	const example = isShown ? JSON.stringify(options) : "…";
	throw new MillraceError("invalid_argument", `options of ${method} must be an object: { ${first}: ${example} }`);
}

/**
 * Throws `invalid_argument` if a method's options are not an object, or have a name that the method does not know: one that
 * was mistyped would have no effect, and nobody would notice.
 *
 * @param known All names, in the order of Python's positional arguments.
 */
export function assertKnownOptions<T extends object>(
	options: T,
	method: string,
	known: readonly (keyof T & string)[],
	rules: OptionRules = {},
): void {
	assertOptions(options, method, known[0] ?? "", rules);
	const names: readonly string[] = known;
	for (const name of Object.keys(options)) {
		if (!names.includes(name)) {
			const camelCase = name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
			const hint = names.includes(camelCase) ? `: it is ${camelCase} here` : `; it has ${names.join(", ")}`;
			throw new MillraceError("invalid_argument", `unknown option ${name} of ${method}${hint}`);
		}
	}
}
