/** The most characters that are kept of a line of a log, its note included. */
const longestLine = 65_536;

/**
 * Returns a line as it is kept: of one with more than 65,536 characters the beginning, with a note of how many were
 * cut. What was cut is not cut again.
 */
export function cutLine(line: string): string {
	if (line.length <= longestLine) {
		return line;
	}
	const noteOf = (count: number) => `… [${count} more characters were cut]`;
	let end = longestLine - noteOf(line.length).length;
	// Half of a character that takes two is no character.
	if (/[\ud800-\udbff]/.test(line.charAt(end - 1))) {
		end--;
	}
	return line.slice(0, end) + noteOf(line.length - end);
}
