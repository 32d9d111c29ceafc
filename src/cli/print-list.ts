import { type JsonFlag, toJson } from "./json-flag.js";
import { rowChunks } from "./row-chunks.js";
import { type Column, printTable, type TableOptions } from "./table.js";
import type { Terminal } from "./terminal.js";

/** How a list is printed. */
export interface ListOptions<T> extends TableOptions {
	readonly columns: readonly Column<T>[];
	/** What is said on stderr where there is nothing, as in "no experiments". Default: nothing. */
	readonly none?: string;
}

/** Prints a list as a table, or with `--json` as lines of JSON, and returns how many rows there were. */
export async function printList<T>(
	terminal: Terminal,
	flags: JsonFlag,
	rows: AsyncIterable<T> | Iterable<T>,
	options: ListOptions<T>,
): Promise<number> {
	const { columns, none, ...tableOptions } = options;
	const count = flags.json
		? await printJsonLines(terminal, rows, options.isLive)
		: await printTable(terminal, columns, rows, tableOptions);
	if (count === 0 && none !== undefined) {
		terminal.say(none);
	}
	return count;
}

async function printJsonLines<T>(
	terminal: Terminal,
	rows: AsyncIterable<T> | Iterable<T>,
	isLive: boolean | undefined,
): Promise<number> {
	let count = 0;
	for await (const chunk of rowChunks(rows, isLive)) {
		await terminal.print(chunk.map((row) => `${toJson(row)}\n`).join(""));
		count += chunk.length;
	}
	return count;
}
