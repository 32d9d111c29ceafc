import { StringDecoder } from "node:string_decoder";

/** Cuts a process's output into lines. */
export interface LineSplitter {
	/** Takes the next of the output. */
	push(chunk: Uint8Array | string): void;
	/** Takes the end of the output; a last line without an end of line is a line too. */
	end(): void;
}

/**
 * Makes a LineSplitter that calls `onLines` with the lines that a chunk completes, without their ends. "\n", "\r\n" and
 * "\r" end a line. A character whose bytes come in two chunks stays whole.
 *
 * @param longest A line that has no end after so many characters ends there. Default: no line does.
 */
export function createLineSplitter(
	onLines: (lines: string[]) => void,
	longest = Number.POSITIVE_INFINITY,
): LineSplitter {
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
		if (rest.length > longest) {
			lines.push(rest);
			rest = "";
		}
		if (lines.length > 0) {
			onLines(lines);
		}
	}

	return {
		push: (chunk) => take(typeof chunk === "string" ? decoder.end() + chunk : decoder.write(chunk as Buffer)),
		end() {
			take(decoder.end());
			if (rest !== "") {
				onLines([rest]);
				rest = "";
			}
		},
	};
}
