import { MillraceError } from "../../errors.js";

/** SQLite refuses patterns of more than 50,000 bytes; a character takes up to 22. */
const longestFilter = 1000;

/**
 * Returns the pattern for `column GLOB ?` that finds the texts which contain a filter, in any case. No character of it
 * is a wildcard. It is "*" for an empty filter, which finds all.
 *
 * Throws `invalid_argument` if the filter has more than 1,000 characters, or a NUL character.
 */
export function containsPattern(field: string, filter: string): string {
	if (filter.length > longestFilter) {
		throw new MillraceError(
			"invalid_argument",
			`${field} has ${filter.length} characters; look for a text of at most ${longestFilter}`,
		);
	}
	if (filter.includes("\0")) {
		throw new MillraceError("invalid_argument", `${field} has a NUL character, which no text has; leave it out`);
	}
	return filter === "" ? "*" : `*${Array.from(filter, inAnyCase).join("")}*`;
}

// LIKE, too, finds texts in any case, but only for the letters of ASCII.
function inAnyCase(character: string): string {
	const upper = character.toUpperCase();
	const lower = character.toLowerCase();
	const cases = new Set([character, upper, lower, upper.toLowerCase(), lower.toUpperCase()]);
	const single = [...cases].filter((text) => [...text].length === 1);
	return single.length > 1 || /[*?[]/.test(character) ? `[${single.join("")}]` : character;
}
