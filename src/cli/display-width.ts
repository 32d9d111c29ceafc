const graphemes = new Intl.Segmenter("en", { granularity: "grapheme" });

/** Graphemes that take two columns: the ranges of Markus Kuhn's wcwidth, and emoji. */
const wide =
	/^(?:[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}|.\ufe0f)/u;

/** How many columns of a terminal a text takes: two for a wide character, none for one that joins another. */
export function displayWidth(text: string): number {
	if (/^[\x20-\x7e]*$/.test(text)) {
		return text.length;
	}
	let width = 0;
	for (const { segment } of graphemes.segment(text)) {
		width += wide.test(segment) ? 2 : /^[\p{M}\p{Cf}\p{Cc}]*$/u.test(segment) ? 0 : 1;
	}
	return width;
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
