import { MillraceError } from "../errors.js";
import { writeJson } from "../write-json.js";

/** What JSON can say. In metrics, a number may also be NaN, Infinity or -Infinity. */
export type JsonValue = string | number | boolean | null | JsonValue[] | JsonObject;

/** A JSON object. Its keys are the user's and are never renamed. */
export type JsonObject = { [key: string]: JsonValue };

// Deeper values would overrun the stack of a parser, here or elsewhere.
const maxDepth = 200;

/**
 * Writes a value as JSON text for the wire: NaN, Infinity and -Infinity become the strings "NaN",
 * "Infinity" and "-Infinity", and -0 keeps its sign.
 *
 * Throws `invalid_argument` for everything that JSON would lose or refuse (a function, a symbol, a BigInt,
 * undefined, a Date or another class's object, a cycle), naming its place below `name`.
 */
export function toJsonText(value: unknown, name: string): string {
	return writeJson(checked(value, { name, spellNonFinite: true }, name, []));
}

/**
 * Writes metrics as JSON text for the wire, as `toJsonText`.
 *
 * Throws `invalid_argument` also if `metrics` is not an object, as in
 * `metrics.loss[2] is a BigInt; metrics must be JSON`.
 */
export function toMetricsJson(metrics: unknown, name = "metrics"): string {
	if (typeof metrics !== "object" || metrics === null || Array.isArray(metrics)) {
		throw new MillraceError("invalid_argument", `${name} is ${described(metrics)}; ${name} must be a JSON object`);
	}
	return toJsonText(metrics, name);
}

/** Reads what `toJsonText` wrote: the strings "NaN", "Infinity" and "-Infinity" become numbers. */
export function fromJsonText(text: string): JsonValue {
	// A reviver makes parsing several times slower, and metrics are read by the million.
	return (/"(NaN|-?Infinity)"/.test(text) ? JSON.parse(text, reviveNumber) : JSON.parse(text)) as JsonValue;
}

/**
 * Returns an object of the user's as a protobuf Struct can carry it.
 *
 * Throws `invalid_argument` for what JSON cannot say, NaN and Infinity included, and for what would be lost on the way:
 * half of a surrogate pair, and the key `__proto__`.
 */
export function toJsonObject(value: unknown, name: string): JsonObject {
	if (typeof value !== "object" || value === null || Array.isArray(value)) {
		throw new MillraceError("invalid_argument", `${name} is ${described(value)}; ${name} must be a JSON object`);
	}
	return checked(value, { name, spellNonFinite: false }, name, []) as JsonObject;
}

function reviveNumber(_key: string, value: JsonValue): JsonValue {
	return value === "NaN" || value === "Infinity" || value === "-Infinity" ? Number(value) : value;
}

interface Check {
	readonly name: string;
	readonly spellNonFinite: boolean;
}

function checked(value: unknown, check: Check, path: string, above: readonly object[]): JsonValue {
	if (typeof value === "string") {
		assertWhole(value, check, path);
		return value;
	}
	if (value === null || typeof value === "boolean") {
		return value;
	}
	if (typeof value === "number" && (Number.isFinite(value) || check.spellNonFinite)) {
		return Number.isFinite(value) ? value : String(value);
	}
	if (typeof value !== "object" || !isPlain(value)) {
		throw invalid(check, path, `is ${described(value)}`);
	}
	if (above.includes(value)) {
		throw invalid(check, path, "refers back to an object that holds it");
	}
	if (above.length === maxDepth) {
		throw invalid(check, path, `is more than ${maxDepth} levels deep`);
	}
	const within = [...above, value];
	if (Array.isArray(value)) {
		return Array.from(value, (item, index) => checked(item, check, `${path}[${index}]`, within));
	}
	if (Object.getOwnPropertySymbols(value).length > 0) {
		throw invalid(check, path, "has a symbol as a key");
	}
	return Object.fromEntries(
		Object.entries(value).map(([key, item]) => {
			assertWhole(key, check, member(path, key));
			if (key === "__proto__" && !check.spellNonFinite) {
				throw invalid(check, path, "has the key __proto__, which protobuf loses");
			}
			return [key, checked(item, check, member(path, key), within)];
		}),
	);
}

// JSON text writes it as it is; a text of protobuf does not.
function assertWhole(text: string, check: Check, path: string): void {
	if (!check.spellNonFinite && /\p{Surrogate}/u.test(text)) {
		throw invalid(check, path, "has half of a surrogate pair");
	}
}

function isPlain(value: object): boolean {
	if (Array.isArray(value)) {
		return true;
	}
	// Plain objects of another realm count too: their prototype is an Object.prototype, which has none.
	const prototype: unknown = Object.getPrototypeOf(value);
	return prototype === null || Object.getPrototypeOf(prototype) === null;
}

function invalid(check: Check, path: string, problem: string): MillraceError {
	return new MillraceError("invalid_argument", `${path} ${problem}; ${check.name} must be JSON`);
}

function member(path: string, key: string): string {
	return /^[A-Za-z_$][\w$]*$/.test(key) ? `${path}.${key}` : `${path}[${JSON.stringify(key)}]`;
}

function described(value: unknown): string {
	switch (typeof value) {
		case "bigint":
			return "a BigInt";
		case "object":
			return value === null ? "null" : `a ${value.constructor?.name || "object"}`.replace(/^a (?=[AEIOU])/, "an ");
		case "undefined":
		case "number":
			return String(value);
		case "boolean":
			return `the boolean ${value}`;
		default:
			return `a ${typeof value}`;
	}
}
