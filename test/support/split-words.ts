/** Splits a line as a shell does, with words in single or double quotes, and nothing that a shell would replace. */
export function splitWords(line: string): string[] {
	return [...line.matchAll(/(?:'([^']*)'|"([^"]*)"|[^\s'"]+)/g)].map(
		([word, single, double]) => single ?? double ?? word,
	);
}
