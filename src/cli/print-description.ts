import { displayWidth, onOneLine, padTo } from "./display-width.js";
import { type JsonFlag, toJson } from "./json-flag.js";
import type { Terminal, TextStyle } from "./terminal.js";

/** One thing that is told of an object. */
export interface Field {
	/** What it is called. */
	readonly label: string;
	/** What it is; several lines are shown below the label. A field without text is left out. */
	readonly text: string;
	readonly style?: TextStyle | undefined;
}

/** Prints what is known of an object, a line for each field, or with `--json` the object as a document. Nothing is cut. */
export async function printDescription(
	terminal: Terminal,
	flags: JsonFlag,
	object: object,
	fields: readonly Field[],
): Promise<void> {
	if (flags.json) {
		await terminal.print(`${toJson(object, 2)}\n`);
		return;
	}
	const shown = fields.filter(({ text }) => text.trim() !== "");
	const short = shown.filter(({ text }) => !text.trim().includes("\n"));
	const width = Math.max(0, ...short.map(({ label }) => displayWidth(label) + 1));
	const lines = shown.map(({ label, text, style }) => {
		const name = terminal.style("bold", `${label}:`);
		const texts = text
			.trimEnd()
			.split("\n")
			.map((line) => (/^\s*/.exec(line)?.[0] ?? "") + onOneLine(line));
		if (texts.length > 1) {
			return [name, ...texts.map((line) => `  ${line}`.trimEnd()), ""].join("\n");
		}
		const value = texts[0]?.trim() ?? "";
		return `${name}${padTo("", width - displayWidth(label))} ${style ? terminal.style(style, value) : value}\n`;
	});
	await terminal.print(lines.join(""));
}
