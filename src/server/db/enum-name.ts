/**
 * Returns the name under which a state is stored: that of the protos' enum, without its prefix. It stays
 * readable in the database, and the numbers stay free to differ.
 */
export function enumName(numbers: Record<number, string>, value: number): string {
	return numbers[value] ?? String(value);
}

/** Returns the value of a stored name; 0, which is UNSPECIFIED, for one that this program does not know. */
export function enumValue<E extends Record<string, string | number>>(
	numbers: E,
	name: string,
): Extract<E[keyof E], number> {
	return (typeof numbers[name] === "number" ? numbers[name] : 0) as Extract<E[keyof E], number>;
}
