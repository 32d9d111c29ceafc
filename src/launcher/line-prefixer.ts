import { createLineSplitter, type LineSplitter } from "../line-splitter.js";

/**
 * Makes a LineSplitter that calls `write` with whole lines, each with `prefix` before it and "\n" after
 * it, and `onLine`, if given, with each line alone.
 */
export function createLinePrefixer(
	prefix: string,
	write: (text: string) => void,
	onLine?: (line: string) => void,
): LineSplitter {
	return createLineSplitter((lines) => {
		write(lines.map((line) => `${prefix}${line}\n`).join(""));
		lines.forEach((line) => void onLine?.(line));
	});
}
