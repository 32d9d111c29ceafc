/**
 * Writes a value of JSON as JSON.stringify does, but -0 with its sign, as JSON.parse and other languages read it.
 *
 * @param value What JSON.parse may give; properties that are undefined are left out.
 */
export function writeJson(value: unknown): string {
	return hasNegativeZero(value) ? spelled(value) : JSON.stringify(value);
}

function hasNegativeZero(value: unknown): boolean {
	if (typeof value !== "object" || value === null) {
		return Object.is(value, -0);
	}
	return Array.isArray(value) ? value.some(hasNegativeZero) : Object.values(value).some(hasNegativeZero);
}

function spelled(value: unknown): string {
	if (typeof value !== "object" || value === null) {
		return Object.is(value, -0) ? "-0" : JSON.stringify(value);
	}
	if (Array.isArray(value)) {
		return `[${value.map(spelled).join(",")}]`;
	}
	const entries = Object.entries(value).filter(([, item]) => item !== undefined);
	return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${spelled(item)}`).join(",")}}`;
}
