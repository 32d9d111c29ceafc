import { InvalidArgumentError } from "commander";
import type { JsonObject } from "../sdk/index.js";

/** Reads a JSON object from the command line. */
export function jsonObject(text: string): JsonObject {
	let value: unknown;
	try {
		value = JSON.parse(text);
	} catch {
		value = undefined;
	}
	if (typeof value !== "object" || value === null || Array.isArray(value)) {
		throw new InvalidArgumentError(`Give a JSON object, as in '{"epoch": 3}'.`);
	}
	return value as JsonObject;
}
