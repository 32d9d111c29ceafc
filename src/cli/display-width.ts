import stringWidth from "string-width";

const graphemes = new Intl.Segmenter("en", { granularity: "grapheme" });

/** How many columns of a terminal a text takes: two for a wide character, none for one that joins another. */
export function displayWidth(text: string): number {
	return /^[\x20-\x7e]*$/.test(text) ? text.length : stringWidth(text);
}

/** Fills a text up with spaces to a width. */
export function padTo(text: string, width: number, align: "left" | "right" = "left"): string {
	const spaces = " ".repeat(Math.max(0, width - displayWidth(text)));
	return align === "left" ? text + spaces : spaces + text;
}

/** Cuts a text that is wider than `width`, and says so by the ellipsis at its end. No character is cut in two. */
export function elide(text: string, width: number, ellipsis: string): string {
	if (displayWidth(text) <= width) {
		return text;
	}
	const room = width - displayWidth(ellipsis);
	if (room < 0) {
		return ellipsis.slice(0, width);
	}
	let taken = "";
	let used = 0;
	for (const { segment } of graphemes.segment(text)) {
		used += displayWidth(segment);
		if (used > room) {
			break;
		}
		taken += segment;
	}
	return taken + ellipsis;
}

/** Returns a text on one line, in which nothing moves the cursor or changes the terminal. */
export function onOneLine(text: string): string {
	return text
		.trim()
		.replace(/\s*[\r\n]+\s*/g, " ")
		.replace(/\t/g, " ")
		.replace(/\p{Cc}/gu, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`);
}
