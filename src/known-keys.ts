import { MillraceError } from "./errors.js";

/** Whether Millrace uses a key, or accepts it because Determined knows it. */
export type KnownKeys = Readonly<Record<string, "used" | "unused">>;

/** Makes a table of the names in a text, which are separated by spaces. */
export function keys(use: "used" | "unused", names: string): KnownKeys {
	return Object.fromEntries(names.split(" ").map((name) => [name, use]));
}

/**
 * Adds the keys of an object that are known and not used to `unused`, with their paths.
 *
 * Throws `invalid_argument` for a key that nobody knows, with the nearest known one.
 */
export function checkKeys(object: object, path: string, known: KnownKeys, unused: string[]): void {
	for (const key of Object.keys(object)) {
		if (!Object.hasOwn(known, key)) {
			const where = path === "" ? "" : ` in ${path}`;
			throw new MillraceError("invalid_argument", `unknown key ${key}${where}; ${suggestion(key, Object.keys(known))}`);
		}
		if (known[key] === "unused") {
			unused.push(path === "" ? key : `${path}.${key}`);
		}
	}
}

function suggestion(key: string, known: string[]): string {
	const nearest = known
		.map((candidate) => ({ candidate, distance: editDistance(key.toLowerCase(), candidate) }))
		.reduce((best, next) => (next.distance < best.distance ? next : best));
	return nearest.distance <= Math.max(2, Math.floor(key.length / 2))
		? `did you mean ${nearest.candidate}?`
		: `the keys here are ${known.join(", ")}`;
}

/** Counts the letters to insert, remove, replace or swap with their neighbour (Damerau and Levenshtein). */
function editDistance(left: string, right: string): number {
	const rows: number[][] = [Array.from({ length: right.length + 1 }, (_, column) => column)];
	const at = (row: number, column: number) => rows[row]?.[column] ?? 0;
	for (let row = 1; row <= left.length; row++) {
		rows.push([row]);
		for (let column = 1; column <= right.length; column++) {
			const same = left[row - 1] === right[column - 1];
			const swapped = left[row - 1] === right[column - 2] && left[row - 2] === right[column - 1];
			rows[row]?.push(
				Math.min(
					at(row - 1, column) + 1,
					at(row, column - 1) + 1,
					at(row - 1, column - 1) + (same ? 0 : 1),
					swapped ? at(row - 2, column - 2) + 1 : Number.POSITIVE_INFINITY,
				),
			);
		}
	}
	return at(left.length, right.length);
}
