import { MillraceError } from "../errors.js";

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

const defaultSize = 50;
const largestSize = 1000;

/**
 * Reads the page that a list request asks for. `list` names the list with what it is filtered by, so that a
 * token works for no other one.
 *
 * Throws `invalid_argument` if the size is negative or the token is not one of this list.
 */
export function parsePage(list: string, request: { pageSize: number; pageToken: string }): Page {
	if (request.pageSize < 0) {
		throw new MillraceError(
			"invalid_argument",
			`page_size is ${request.pageSize}; it must not be negative: leave it out for ${defaultSize}`,
		);
	}
	const size = Math.min(request.pageSize || defaultSize, largestSize);
	return {
		size,
		after: request.pageToken === "" ? undefined : parseToken(list, request.pageToken),
		next: (count, after) => (count > size ? writeToken(list, after()) : ""),
	};
}

function writeToken(list: string, after: string | number): string {
	return Buffer.from(JSON.stringify([list, after])).toString("base64url");
}

function parseToken(list: string, token: string): string | number {
	let content: unknown;
	try {
		content = JSON.parse(Buffer.from(token, "base64url").toString());
	} catch {
		content = undefined;
	}
	if (Array.isArray(content) && content[0] === list && ["string", "number"].includes(typeof content[1])) {
		return content[1];
	}
	throw new MillraceError(
		"invalid_argument",
		`page_token ${JSON.stringify(token)} is not one of this list; pass the next_page_token of the page before`,
	);
}
