import { MillraceError } from "../errors.js";
import { assertPlainText } from "./request-checks.js";

const mostLabels = 1000;
const longestLabel = 1000;

/**
 * Returns labels, each once, in the order given. A label may hold any character, commas too, but NUL.
 *
 * Throws `invalid_argument` for a label that is empty or has more than 1,000 characters, and for more than 1,000 labels.
 */
export function checkedLabels(field: string, labels: readonly string[]): string[] {
	for (const [i, label] of labels.entries()) {
		if (label === "") {
			throw new MillraceError("invalid_argument", `${field}[${i}] is empty; a label has at least one character`);
		}
		assertPlainText(`${field}[${i}]`, label, longestLabel);
	}
	const distinct = [...new Set(labels)];
	if (distinct.length > mostLabels) {
		throw new MillraceError(
			"invalid_argument",
			`${field} has ${distinct.length} labels; at most ${mostLabels} are allowed`,
		);
	}
	return distinct;
}
