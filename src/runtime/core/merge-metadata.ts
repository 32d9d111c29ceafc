import { MillraceError } from "../../errors.js";
import type { JsonObject, JsonValue } from "../../sdk/json.js";

/**
 * Puts together what the workers say of one checkpoint: each may give some of the keys, at any depth.
 *
 * Throws `invalid_argument`, naming the key and two ranks, if they give different values for one; also if
 * steps_completed, which every checkpoint has, is missing or no whole number.
 */
export function mergeMetadata(ofRanks: readonly JsonObject[]): JsonObject {
	const merged: JsonObject = {};
	const givenBy = new Map<string, number>();
	for (const [rank, metadata] of ofRanks.entries()) {
		add(merged, metadata, { rank, path: [], givenBy });
	}
	const steps = merged.steps_completed;
	if (typeof steps !== "number" || !Number.isInteger(steps) || steps < 0 || steps >= 2 ** 31) {
		throw new MillraceError(
			"invalid_argument",
			steps === undefined
				? "the metadata of a checkpoint must have steps_completed, a whole number"
				: `metadata.steps_completed is ${JSON.stringify(steps)}; it must be a whole number, not negative`,
		);
	}
	return merged;
}

interface From {
	readonly rank: number;
	readonly path: readonly string[];
	/** Which rank was the first to give the value at a path. */
	readonly givenBy: Map<string, number>;
}

function add(target: JsonObject, source: JsonObject, { rank, path, givenBy }: From): void {
	for (const [key, value] of Object.entries(source)) {
		const place = [...path, key];
		const name = JSON.stringify(place);
		const present = Object.hasOwn(target, key) ? target[key] : undefined;
		if (present === undefined) {
			define(target, key, structuredClone(value));
			givenBy.set(name, rank);
		} else if (isObject(present) && isObject(value)) {
			add(present, value, { rank, path: place, givenBy });
		} else if (JSON.stringify(present) !== JSON.stringify(value)) {
			throw new MillraceError(
				"invalid_argument",
				`metadata.${place.join(".")} is ${JSON.stringify(present)} on rank ${givenBy.get(name) ?? 0}, but ` +
					`${JSON.stringify(value)} on rank ${rank}; give it on one of them, or the same on both`,
			);
		}
	}
}

/** A key of the user's may be "__proto__". */
function define(target: JsonObject, key: string, value: JsonValue): void {
	Object.defineProperty(target, key, { value, writable: true, enumerable: true, configurable: true });
}

function isObject(value: JsonValue): value is JsonObject {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}
