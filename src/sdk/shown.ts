/** Writes a value as messages show it: a text in quotes, so that "2" is not taken for 2, and not more than its beginning. */
export function shown(value: unknown): string {
	switch (typeof value) {
		case "string":
			return value.length > longest ? `${JSON.stringify(value.slice(0, longest))}…` : JSON.stringify(value);
		case "bigint":
			return `${value}n`;
		case "function":
			return "a function";
		case "object":
			if (Array.isArray(value)) {
				const items = value.slice(0, most).map((item) => (Array.isArray(item) ? "an array" : shown(item)));
				return `[${[...items, ...(value.length > most ? ["…"] : [])].join(", ")}]`;
			}
			if (value instanceof Date) {
				return Date.prototype.toString.call(value);
			}
			// An object of the user's may have no way to become a text, or throw on it.
			return value === null ? "null" : "an object";
		default:
			return String(value);
	}
}

const longest = 200;
const most = 10;
