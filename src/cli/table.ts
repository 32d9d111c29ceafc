import { displayWidth, elide, onOneLine, padTo } from "./display-width.js";
import { rowChunks } from "./row-chunks.js";
import type { Terminal, TextStyle } from "./terminal.js";

/** A column of a table of rows T. */
export interface Column<T> {
	/** Its title, in capitals. */
	readonly title: string;
	/** The text of a row's cell. */
	readonly text: (row: T) => string;
	/** Default: "left". */
	readonly align?: "left" | "right";
	/** Whether the text may be cut where the terminal is too narrow, as that of a name or a message. Default false. */
	readonly isCuttable?: boolean;
	/** The style of a row's cell. Default: none. */
	readonly style?: (row: T) => TextStyle | undefined;
}

/** How a table is printed. */
export interface TableOptions {
	/** Whether the titles are left out. Default false. */
	readonly withoutTitles?: boolean;
	/** Whether rows may come late, and are shown as they come. Default false. */
	readonly isLive?: boolean;
}

const gap = "  ";

/** The least width that a column is cut to while others can be cut. */
const leastWidth = 8;

/**
 * Prints rows as a table, and returns how many there were. On a terminal it fits the width: the widest columns that may
 * be cut are cut. In a file or a pipe nothing is. Columns get wider where a later row needs it, as rows are printed
 * before all of them are known; nothing else changes on the way.
 */
export async function printTable<T>(
	terminal: Terminal,
	columns: readonly Column<T>[],
	rows: AsyncIterable<T> | Iterable<T>,
	{ withoutTitles = false, isLive = false }: TableOptions = {},
): Promise<number> {
	const needed = columns.map(({ title }) => (withoutTitles ? 0 : displayWidth(title)));
	let count = 0;
	for await (const chunk of rowChunks(rows, isLive)) {
		const cells = chunk.map((row) => columns.map((column) => onOneLine(column.text(row))));
		for (const row of cells) {
			for (const [i, text] of row.entries()) {
				needed[i] = Math.max(needed[i] ?? 0, displayWidth(text));
			}
		}
		const widths = terminal.isInteractive ? fitted(columns, needed, terminal.columns) : needed;
		const lines = cells.map((row, i) =>
			lineOf(terminal, columns, widths, row, (column) => column.style?.(chunk[i] as T)),
		);
		if (count === 0 && !withoutTitles) {
			const titles = columns.map(({ title }) => title);
			lines.unshift(lineOf(terminal, columns, widths, titles, () => "bold"));
		}
		await terminal.print(lines.join(""));
		count += chunk.length;
	}
	return count;
}

function lineOf<T>(
	terminal: Terminal,
	columns: readonly Column<T>[],
	widths: readonly number[],
	texts: readonly string[],
	styleOf: (column: Column<T>) => TextStyle | undefined,
): string {
	const cells = columns.map((column, i) => {
		const width = widths[i] ?? 0;
		const text = elide(texts[i] ?? "", width, terminal.isUnicode ? "…" : "...");
		const style = styleOf(column);
		const spaces = padTo("", width - displayWidth(text));
		const shown = style === undefined || text === "" ? text : terminal.style(style, text);
		return column.align === "right" ? spaces + shown : shown + spaces;
	});
	return `${cells.join(gap).trimEnd()}\n`;
}

/** Narrows columns until the table is not wider than the terminal: the widest that may be cut, then any. */
function fitted<T>(columns: readonly Column<T>[], needed: readonly number[], width: number): number[] {
	const widths = [...needed];
	const room = width - gap.length * (columns.length - 1);
	const cuttable = widths.flatMap((_, i) => (columns[i]?.isCuttable ? [i] : []));
	narrow(widths, cuttable, room, leastWidth);
	narrow(widths, [...widths.keys()], room, 1);
	return widths;
}

/** Takes from the widest of some columns what the room lacks, down to a least width. */
function narrow(widths: number[], which: readonly number[], room: number, least: number): void {
	for (;;) {
		const excess = widths.reduce((sum, width) => sum + width, 0) - room;
		const widest = which.reduce((a, b) => ((widths[b] ?? 0) > (widths[a] ?? 0) ? b : a), which[0] ?? -1);
		const width = widths[widest] ?? 0;
		if (excess <= 0 || width <= least) {
			return;
		}
		const next = Math.max(least, ...which.map((i) => widths[i] ?? 0).filter((other) => other < width));
		widths[widest] = width - Math.min(excess, Math.max(1, width - next));
	}
}
