import type { Command } from "commander";

/** Whether a command writes JSON. */
export interface JsonFlag {
	json?: boolean;
}

/** Adds the flag by which a command writes JSON for programs: a document, or one for each line of a list. */
export function addJsonFlag(command: Command, form: "a document" | "a line each"): Command {
	return command.option("--json", `print JSON instead, ${form}, with the names of the SDK's properties`);
}

/** Writes a value of the SDK as JSON: times as ISO 8601 in UTC, and NaN and Infinity as texts, as on the wire. */
export function toJson(value: unknown, indent?: number): string {
	const spell = (_key: string, item: unknown) =>
		typeof item === "number" && !Number.isFinite(item) ? String(item) : item;
	return JSON.stringify(value, spell, indent);
}
