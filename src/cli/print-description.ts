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

/**
 * Prints what is known of an object, a line for each field and then those of several lines, or with `--json` the object
 * as a document. Nothing is cut.
 */
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
	const isBlock = ({ text }: Field) => text.trim().includes("\n");
	const short = shown.filter((field) => !isBlock(field));
	const width = Math.max(0, ...short.map(({ label }) => displayWidth(label)));
	const name = (label: string) => terminal.style("bold", `${label}:`);
	const lines = short.map(({ label, text, style }) => {
		const value = onOneLine(text);
		return `${name(label)}${padTo("", width - displayWidth(label))}  ${style ? terminal.style(style, value) : value}\n`;
	});
	const blocks = shown.filter(isBlock).map(({ label, text }) => {
		const inner = text.trimEnd().split("\n");
		return `${name(label)}\n${inner.map((line) => `  ${indentOf(line)}${onOneLine(line)}`.trimEnd()).join("\n")}\n`;
	});
	await terminal.print([...lines, ...blocks].join(""));
}

function indentOf(line: string): string {
	return " ".repeat(line.length - line.trimStart().length);
}
