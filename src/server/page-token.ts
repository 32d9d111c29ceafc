import { createHash } from "node:crypto";
import { MillraceError } from "../errors.js";
import { OrderBy } from "../gen/millrace/v1/list_pb.js";
import type { Sort, SortedPlace, SortPosition } from "./db/sorted-page.js";
import { assertEnum } from "./request-checks.js";

/** Where a page of a list starts and how many rows it has. */
export interface Page {
	/** The largest number of rows. */
	readonly size: number;
	/** What the last row of the page before is sorted by; undefined on the first page. */
	readonly after: string | number | undefined;
	/**
	 * Returns the token of the page after one whose last row is sorted by `after`; empty where it ends the
	 * list. `count` is the number of rows found, with one more asked for than the size.
	 */
	next(count: number, after: () => string | number): string;
}

/** Where a page of a sorted list starts, and how to make it of the rows that were found. */
export interface SortedPage extends SortedPlace {
	/**
	 * Returns the rows of the page, and the token of the next one; empty where this one ends the list. Of rows that are
	 * large the page has fewer than its size, so that its message stays sendable.
	 *
	 * @param found The rows, with one more asked for than the size.
	 * @param bytes The size of a row, roughly.
	 */
	take<Row>(
		found: readonly Row[],
		position: (row: Row) => SortPosition,
		bytes?: (row: Row) => number,
	): { rows: Row[]; nextPageToken: string };
}

const defaultSize = 50;
const largestSize = 1000;

/** How many bytes the rows of one page may have together, unless it is a single row: well below what a message may. */
const largestPageBytes = 8 * 1024 * 1024;

/**
 * Reads the page that a list request asks for. `list` names the list with what it is filtered by, so that a
 * token works for no other one.
 *
 * Throws `invalid_argument` if the size is negative or the token is not one of this list.
 */
export function parsePage(list: string, request: { pageSize: number; pageToken: string }): Page {
	const size = checkedSize(request.pageSize);
	const [after] = parseToken(
		list,
		request.pageToken,
		(key) => key.length === 1 && ["string", "number"].includes(typeof key[0]),
	);
	return {
		size,
		after: after as string | number | undefined,
		next: (count, after) => (count > size ? writeToken(list, [after()]) : ""),
	};
}

/**
 * Reads the page of a sorted list that a list request asks for. The token works only with the same sort and filters:
 * with all that the request says, but for its page.
 *
 * Throws `invalid_argument` if the size is negative or the token is not one of this list.
 */
export function parseSortedPage(
	request: { $typeName: string; pageSize: number; pageToken: string },
	sort: Sort,
): SortedPage {
	const size = checkedSize(request.pageSize);
	const { pageSize: _, pageToken, ...list } = request;
	const name = JSON.stringify(Object.entries(list).sort(), (_, value) =>
		typeof value === "bigint" ? `${value}` : value,
	);
	const key = parseToken(
		name,
		pageToken,
		([value, id, ...more]) => isOf(sort.kind, value) && isOf(sort.id ?? "number", id) && more.length === 0,
	);
	return {
		size,
		sort,
		after: key.length === 0 ? undefined : (key as unknown as SortPosition),
		take(found, position, bytes = () => 0) {
			const rows = found.slice(0, countWithin(found.slice(0, size).map(bytes)));
			const last = rows.at(-1);
			const isLast = last === undefined || rows.length === found.length;
			return { rows, nextPageToken: isLast ? "" : writeToken(name, position(last)) };
		},
	};
}

/**
 * Tells whether a list is sorted from the largest on.
 *
 * Throws `invalid_argument` for a direction that there is not.
 */
export function isDescending(orderBy: OrderBy, otherwise: OrderBy.ASC | OrderBy.DESC): boolean {
	assertEnum("order_by", OrderBy, orderBy);
	return (orderBy || otherwise) === OrderBy.DESC;
}

function checkedSize(pageSize: number): number {
	if (pageSize < 0) {
		throw new MillraceError(
			"invalid_argument",
			`page_size is ${pageSize}; it must not be negative: leave it out for ${defaultSize}`,
		);
	}
	return Math.min(pageSize || defaultSize, largestSize);
}

/** Returns how many of the rows fit into a page: at least one, where there is one. */
function countWithin(sizes: readonly number[]): number {
	let sum = 0;
	const index = sizes.findIndex((size, i) => {
		sum += size;
		return sum > largestPageBytes && i > 0;
	});
	return index < 0 ? sizes.length : index;
}

function writeToken(list: string, key: readonly (string | number)[]): string {
	return Buffer.from(JSON.stringify([digest(list), ...key])).toString("base64url");
}

function isOf(kind: "text" | "number", value: unknown): boolean {
	return typeof value === (kind === "text" ? "string" : "number");
}

/** Returns the key that a token holds; none for the first page. */
function parseToken(list: string, token: string, isKey: (key: readonly unknown[]) => boolean): readonly unknown[] {
	if (token === "") {
		return [];
	}
	const [name, ...key] = parsed(token);
	if (name === digest(list) && isKey(key)) {
		return key;
	}
	const shown = token.length > 100 ? `${token.slice(0, 100)}…` : token;
	throw new MillraceError(
		"invalid_argument",
		`page_token ${JSON.stringify(shown)} is not one of this list; pass the next_page_token of the page before, with the same sort and filters`,
	);
}

/** Keeps a token short, also where the list has many filters. */
function digest(list: string): string {
	return createHash("sha256").update(list).digest("base64url").slice(0, 16);
}

function parsed(token: string): unknown[] {
	try {
		const content: unknown = JSON.parse(Buffer.from(token, "base64url").toString());
		return Array.isArray(content) ? content : [];
	} catch {
		return [];
	}
}
