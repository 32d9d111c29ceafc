import { readFileSync } from "node:fs";

/** One row of docs/PYTHON.md. */
export interface TableRow {
	/** The heading above it. */
	readonly section: string;
	/** The Python names; empty for what is ours. */
	readonly python: string;
	/** The TypeScript names: `Owner.method(…)`, `Owner.field`, `function(…)`. */
	readonly names: readonly string[];
	readonly differs: string;
	/** `path › name of the it`. Empty in the table of what is not here. */
	readonly tested: string;
}

/** Reads the rows of docs/PYTHON.md. */
export function readPythonTable(): TableRow[] {
	const rows: TableRow[] = [];
	let section = "";
	for (const line of readFileSync("docs/PYTHON.md", "utf8").split("\n")) {
		section = /^## (.*)$/.exec(line)?.[1] ?? section;
		const cells = line.split("|").map((cell) => cell.trim());
		if (cells.length < 4 || cells[1] === "Python" || cells[1] === "---") {
			continue;
		}
		const [, python = "", names = "", differs = "", tested = ""] = cells;
		rows.push({ section, python, names: codeIn(names), differs, tested: codeIn(tested)[0] ?? tested });
	}
	return rows;
}

function codeIn(cell: string): string[] {
	return [...cell.matchAll(/`([^`]+)`/g)].map(([, code = ""]) => code);
}
