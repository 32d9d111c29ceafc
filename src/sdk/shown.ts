/** Writes a value as messages show it: a text in quotes, so that "2" is not taken for 2. */
export function shown(value: unknown): string {
	return typeof value === "string" ? JSON.stringify(value) : String(value);
}
