import { stringify } from "yaml";
import type { JsonObject, JsonValue } from "../sdk/index.js";
import { toJson } from "./json-flag.js";
import type { Terminal } from "./terminal.js";

/** Writes a number of bytes in its largest unit: "999 B", "1.2 MB", "34 GB". */
export function byteSize(bytes: number): string {
	let unit = 0;
	let value = bytes;
	while (Math.round(value) >= 1_000 && unit < units.length - 1) {
		value /= 1_000;
		unit += 1;
	}
	// Never more than the number of bytes has, and never "10.0".
	const digits = unit > 0 && value < 9.95 ? 1 : 0;
	return `${value.toFixed(digits)} ${units[unit]}`;
}

const units = ["B", "kB", "MB", "GB", "TB", "PB"];

/**
 * Writes a value of a metric; "" for none. Numbers with a fraction are rounded to six digits on a terminal, and
 * written as they are to a file or a program.
 */
export function metricValue(value: JsonValue | undefined, terminal: Terminal): string {
	switch (typeof value) {
		case "number":
			return String(terminal.isInteractive ? rounded(value) : value);
		case "string":
			return value;
		default:
			return value === undefined ? "" : toJson(value);
	}
}

/** Rounds to six digits, or to a whole number where that has more. */
function rounded(value: number): number {
	const digitsBeforePoint = Math.floor(Math.log10(Math.abs(value))) + 1;
	const isWhole = Number.isInteger(value) || !Number.isFinite(value);
	return isWhole ? value : Number(value.toPrecision(Math.min(17, Math.max(6, digitsBeforePoint))));
}

/** Writes an object of the user's as one line of `key=value`, with the values of `metricValue`. */
export function pairs(object: JsonObject, terminal: Terminal): string {
	return Object.entries(object)
		.map(([key, value]) => `${key}=${metricValue(value, terminal)}`)
		.join(" ");
}

/** Writes an object of the user's as YAML; "" if it is empty. */
export function yaml(object: object): string {
	return Object.keys(object).length === 0 ? "" : stringify(object, { lineWidth: 0 });
}

/** Writes a part from 0 to 1 in percent: 100 only where nothing is missing. */
export function percent(part: number): string {
	return `${Math.floor(part * 100)}%`;
}

/** Writes how many files there are. */
export function fileCount(files: number): string {
	return files === 1 ? "1 file" : `${files} files`;
}
