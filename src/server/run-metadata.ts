import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { MillraceError } from "../errors.js";

/** How large the metadata of a trial may be. */
const limits = { keyLength: 50, stringLength: 5_000, levels: 10, items: 100, keys: 1_000 } as const;

/**
 * Throws `invalid_argument`, naming the place, if metadata of a trial has a key of more than 50 characters or with one
 * of `$ . [ ]`, a string of more than 5,000 characters, an array of more than 100 items, more than 10 levels, of which
 * it is the first, or more than 1,000 keys in all.
 */
export function assertRunMetadata(metadata: JsonObject): void {
	let keyCount = 0;
	// Level by level, as the stack would not bear what is nested too deeply.
	let level: { readonly path: string; readonly value: JsonValue }[] = [{ path: "metadata", value: metadata }];
	for (let depth = 0; level.length > 0; depth++) {
		const next: typeof level = [];
		for (const { path, value } of level) {
			if (typeof value === "string" && value.length > limits.stringLength) {
				throw tooMuch(`${path} has ${value.length} characters`, limits.stringLength);
			}
			if (typeof value !== "object" || value === null) {
				continue;
			}
			if (depth === limits.levels) {
				throw tooMuch(`${path} is on level ${depth + 1}`, `${limits.levels} levels`);
			}
			if (Array.isArray(value)) {
				if (value.length > limits.items) {
					throw tooMuch(`${path} has ${value.length} items`, limits.items);
				}
				next.push(...value.map((item, i) => ({ path: `${path}[${i}]`, value: item })));
				continue;
			}
			for (const [key, item] of Object.entries(value)) {
				assertKey(path, key);
				keyCount++;
				next.push({ path: `${path}.${key}`, value: item });
			}
			if (keyCount > limits.keys) {
				throw tooMuch(`metadata has more than ${limits.keys} keys in all, with those of ${path}`, limits.keys);
			}
		}
		level = next;
	}
}

function assertKey(path: string, key: string): void {
	const place = `the key ${JSON.stringify(key.length > 80 ? `${key.slice(0, 80)}…` : key)} in ${path}`;
	if (key.length > limits.keyLength) {
		throw tooMuch(`${place} has ${key.length} characters`, limits.keyLength);
	}
	const forbidden = /[$.[\]]/.exec(key)?.[0];
	if (forbidden !== undefined) {
		throw new MillraceError("invalid_argument", `${place} has a "${forbidden}"; a key has none of $ . [ ]`);
	}
}

function tooMuch(what: string, limit: number | string): MillraceError {
	const shown = typeof limit === "number" ? limit.toLocaleString("en") : limit;
	return new MillraceError("invalid_argument", `${what}; at most ${shown} are allowed`);
}
