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

/** What a table has to know of the terminal. */
export type TableTerminal = Pick<Terminal, "isInteractive" | "columns" | "isUnicode" | "style">;

const gap = "  ";

/** What a column keeps that may be cut. */
const leastWidth = 3;

/**
 * Prints rows as a table, and returns how many there were. On a terminal it fits the width, if the columns that may
 * not be cut do: of the others the widest are cut. In a file or a pipe nothing is. Columns get wider where a later row needs it, as rows are printed
 * before all of them are known; nothing else changes on the way.
 */
export async function printTable<T>(
	terminal: Terminal,
	columns: readonly Column<T>[],
	rows: AsyncIterable<T> | Iterable<T>,
	{ withoutTitles = false, isLive = false }: TableOptions = {},
): Promise<number> {
	const needed = titlesOf(columns).map((title) => (withoutTitles ? 0 : displayWidth(title)));
	let count = 0;
	for await (const chunk of rowChunks(rows, isLive)) {
		const lines = linesOf(terminal, columns, needed, chunk, count === 0 && !withoutTitles);
		await terminal.print(lines.map((line) => `${line}\n`).join(""));
		count += chunk.length;
	}
	return count;
}

/** Returns the lines of a table as `printTable` prints it, the titles first. */
export function tableLines<T>(terminal: TableTerminal, columns: readonly Column<T>[], rows: readonly T[]): string[] {
	return linesOf(terminal, columns, titlesOf(columns).map(displayWidth), rows, true);
}

function titlesOf<T>(columns: readonly Column<T>[]): string[] {
	return columns.map(({ title }) => onOneLine(title));
}

/** Widens `needed` where the rows need it. */
function linesOf<T>(
	terminal: TableTerminal,
	columns: readonly Column<T>[],
	needed: number[],
	rows: readonly T[],
	withTitles: boolean,
): string[] {
	const cells = rows.map((row) => columns.map((column) => onOneLine(column.text(row))));
	for (const row of cells) {
		for (const [i, text] of row.entries()) {
			needed[i] = Math.max(needed[i] ?? 0, displayWidth(text));
		}
	}
	const widths = terminal.isInteractive ? fitted(columns, needed, terminal.columns) : needed;
	const lines = cells.map((row, i) => lineOf(terminal, columns, widths, row, (column) => column.style?.(rows[i] as T)));
	if (withTitles) {
		lines.unshift(lineOf(terminal, columns, widths, titlesOf(columns), () => "bold"));
	}
	return lines;
}

function lineOf<T>(
	terminal: TableTerminal,
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
	return cells.join(gap).trimEnd();
}

/** Narrows the widest of the columns that may be cut to one width, by which the table is not wider than the terminal. */
function fitted<T>(columns: readonly Column<T>[], needed: readonly number[], width: number): number[] {
	const isCuttable = (i: number) => columns[i]?.isCuttable === true;
	const fixed = needed.reduce((sum, width, i) => sum + (isCuttable(i) ? 0 : width), 0);
	const cuttable = needed.filter((_, i) => isCuttable(i)).sort((one, other) => one - other);
	let room = width - gap.length * (columns.length - 1) - fixed;
	let most = Number.POSITIVE_INFINITY;
	for (const [i, width] of cuttable.entries()) {
		const share = Math.floor(room / (cuttable.length - i));
		if (width > share) {
			most = Math.max(leastWidth, share);
			break;
		}
		room -= width;
	}
	return needed.map((width, i) => (isCuttable(i) ? Math.min(width, most) : width));
}
