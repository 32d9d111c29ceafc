import type { SqlValue } from "./database.js";

/** What the rows of a list are sorted by; those that are equal in it are sorted by id, in the same direction. */
export interface Sort {
	/**
	 * A column that is never NULL, or an expression that never is. It needs an index that names it alone: every index
	 * ends with the row's id, but SQLite seeks by both only where the id is not named.
	 */
	readonly key: string;
	/** Whether its values are texts or numbers. */
	readonly kind: "text" | "number";
	/** What the ids of the rows are. Default: numbers. */
	readonly id?: "text" | "number";
	/** Whether the largest comes first. */
	readonly descending: boolean;
}

/** The place of a row in a sorted list. */
export type SortPosition = readonly [value: string | number, id: string | number];

/** What a list needs to know of the page that it returns. */
export interface SortedPlace {
	/** How many rows the page has at most. */
	readonly size: number;
	/** How the list is sorted. */
	readonly sort: Sort;
	/** The place of the last row of the page before; undefined on the first page. */
	readonly after: SortPosition | undefined;
}

/** The parts of a statement that reads a page of a sorted list. */
export interface Keyset {
	/** The condition for the rows of this page and later ones, with two parameters. */
	readonly where: string;
	/** Its parameters. */
	readonly parameters: readonly [SqlValue, SqlValue];
	/** What follows ORDER BY. */
	readonly orderBy: string;
	/** What follows LIMIT: one more than the page has, to see whether there is another. */
	readonly limit: number;
}

/** Writes the parts of a statement that reads a page of a sorted list. `id` is the column of the rows' id. */
export function keyset({ size, sort, after }: SortedPlace, id = "id"): Keyset {
	const { key, descending } = sort;
	const compare = descending ? "<" : ">";
	const direction = descending ? "DESC" : "ASC";
	return {
		where: `(${key}, ${id}) ${compare} (?, ?)`,
		parameters: after ?? beforeAll(sort),
		// An order by the id twice would be sorted by hand.
		orderBy: key === id ? `${id} ${direction}` : `${key} ${direction}, ${id} ${direction}`,
		limit: size + 1,
	};
}

/** A position before all rows, so that the first page is a search like the others. */
function beforeAll({ kind, id = "number", descending }: Sort): readonly [SqlValue, SqlValue] {
	return [edge(kind, descending), edge(id, descending)];
}

/** What is larger or smaller than any value; a text may be equal to the smallest, which no id is. */
function edge(kind: "text" | "number", largest: boolean): SqlValue {
	// In SQLite's order a BLOB comes after all texts, which come after all numbers.
	return largest ? Buffer.from([0]) : kind === "text" ? "" : Number.NEGATIVE_INFINITY;
}
