import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** A line that a worker wrote for the round. */
export interface Note {
	readonly what: "outcome" | "error" | "wrong-gather";
	readonly text: string;
	readonly rank: number;
	readonly leg: number;
	/** The number of the run, where `millrace run` gave one; else 0. */
	readonly run: number;
	readonly time: number;
}

/** Reads what the workers of a round noted. */
export function readNotes(directory: string): Note[] {
	const file = join(directory, "notes.jsonl");
	const lines = existsSync(file) ? readFileSync(file, "utf8").split("\n").slice(0, -1) : [];
	return lines.map((line) => JSON.parse(line) as Note);
}
