/** The most ranks, or ranges of them, that a text names. */
const listed = 6;

/**
 * Returns ranks, ascending, as a text: "rank 2", "ranks 0, 1 and 3", "ranks 0 to 14 and 16", "ranks 0, 2, 4, 6, 8, 10 and
 * 26 more".
 */
export function rankList(ranks: readonly number[]): string {
	const runs: [first: number, last: number][] = [];
	for (const rank of ranks) {
		const run = runs.at(-1);
		if (run !== undefined && run[1] === rank - 1) {
			run[1] = rank;
		} else {
			runs.push([rank, rank]);
		}
	}
	// Of two that follow each other, none is between them.
	const pieces = runs.flatMap(([first, last]): [text: string, size: number][] =>
		last - first >= 2
			? [[`${first} to ${last}`, last - first + 1]]
			: Array.from({ length: last - first + 1 }, (_, i) => [String(first + i), 1]),
	);
	const named = pieces.length > listed + 1 ? pieces.slice(0, listed) : pieces;
	const rest = pieces.slice(named.length).reduce((sum, [, size]) => sum + size, 0);
	const texts = [...named.map(([text]) => text), ...(rest === 0 ? [] : [`${rest} more`])];
	return `${ranks.length === 1 ? "rank" : "ranks"} ${inWords(texts)}`;
}

/** Joins texts: "a", "a and b", "a, b and c". */
export function inWords(texts: readonly string[]): string {
	return texts.length < 2 ? texts.join("") : `${texts.slice(0, -1).join(", ")} and ${texts.at(-1)}`;
}
