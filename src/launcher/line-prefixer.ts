import { StringDecoder } from "node:string_decoder";

/** Turns a process's output into whole lines. */
export interface LinePrefixer {
	/** Takes the next bytes of the output. */
	push(chunk: Buffer): void;
	/** Takes the end of the output; a last line without an end of line is written too. */
	end(): void;
}

/**
 * Makes a LinePrefixer that calls `write` with whole lines, each with `prefix` before it and "\n" after
 * it, and `onLine`, if given, with each line alone. "\n", "\r\n" and "\r" end a line. A character whose
 * bytes come in two chunks stays whole.
 */
export function createLinePrefixer(
	prefix: string,
	write: (text: string) => void,
	onLine?: (line: string) => void,
): LinePrefixer {
	const decoder = new StringDecoder("utf8");
	let rest = "";
	let afterReturn = false;

	function take(text: string): void {
		if (text === "") {
			return;
		}
		// The "\n" of a "\r\n" that was cut in two.
		const unread = afterReturn && text.startsWith("\n") ? text.slice(1) : text;
		afterReturn = text.endsWith("\r");
		const lines = unread.split(/\r\n|\n|\r/);
		lines[0] = rest + lines[0];
		rest = lines.pop() ?? "";
		emit(lines);
	}

	function emit(lines: string[]): void {
		if (lines.length > 0) {
			write(lines.map((line) => `${prefix}${line}\n`).join(""));
			lines.forEach((line) => void onLine?.(line));
		}
	}

	return {
		push: (chunk) => take(decoder.write(chunk)),
		end() {
			take(decoder.end());
			if (rest !== "") {
				emit([rest]);
				rest = "";
			}
		},
	};
}
