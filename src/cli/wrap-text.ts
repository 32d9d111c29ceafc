import { displayWidth, elide } from "./display-width.js";

/** Breaks a text between words into lines that are not wider than `width`. A word that is wider is cut. */
export function wrapText(text: string, width: number, ellipsis: string): string[] {
	const lines: string[] = [];
	let line = "";
	for (const word of text.split(" ")) {
		const longer = line === "" ? word : `${line} ${word}`;
		if (line !== "" && displayWidth(longer) > width) {
			lines.push(line);
			line = word;
		} else {
			line = longer;
		}
	}
	return [...lines, line].map((one) => elide(one, width, ellipsis));
}
