import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import { isMillraceError, MillraceError } from "../errors.js";
import { type ExperimentConfig, parseExperimentConfig } from "../experiment-config.js";
import type { StoredFile } from "../gen/millrace/v1/storage_pb.js";
import type { Member } from "../gen/millrace/v1/trial_pb.js";

/** Throws `invalid_argument` if an id cannot be one. */
export function assertId(field: string, id: number): void {
	if (id < 1) {
		throw new MillraceError("invalid_argument", `${field} is ${id}; it is required and counts from 1`);
	}
}

/** Throws `invalid_argument` if a number is negative. */
export function assertNotNegative(field: string, value: number | bigint): void {
	if (value < 0) {
		throw new MillraceError("invalid_argument", `${field} is ${value}; it must not be negative`);
	}
}

/** Throws `invalid_argument` if a request id is too long. */
export function assertRequestId(requestId: string): void {
	if (requestId.length > 128) {
		throw new MillraceError(
			"invalid_argument",
			`request_id has ${requestId.length} characters; at most 128 are allowed, such as a UUID`,
		);
	}
}

const uuidForm = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Returns a UUID in lower case. Throws `invalid_argument` if the value is not one. */
export function checkedUuid(field: string, value: string): string {
	const uuid = value.toLowerCase();
	if (!uuidForm.test(uuid)) {
		throw new MillraceError(
			"invalid_argument",
			`${field} is ${JSON.stringify(value)}; it must be a UUID such as 123e4567-e89b-12d3-a456-426614174000`,
		);
	}
	return uuid;
}

/** Throws `invalid_argument` if a required text is empty. */
export function assertText(field: string, value: string): void {
	if (value === "") {
		throw new MillraceError("invalid_argument", `${field} is empty; it is required`);
	}
}

/** Throws `invalid_argument` if a text is longer than `longest` characters, or has a NUL character, where SQLite ends a text. */
export function assertPlainText(field: string, value: string, longest: number): void {
	if (value.length > longest) {
		throw new MillraceError(
			"invalid_argument",
			`${field} has ${value.length} characters; at most ${longest} are allowed`,
		);
	}
	if (value.includes("\0")) {
		throw new MillraceError("invalid_argument", `${field} has a NUL character; leave it out`);
	}
}

/** Throws `invalid_argument` for a number that is no value of an enum. `names` is the enum. */
export function assertEnum(field: string, names: Record<number, string>, value: number): void {
	if (names[value] === undefined) {
		const known = Object.entries(names).filter(([key]) => /^\d+$/.test(key));
		throw new MillraceError(
			"invalid_argument",
			`${field} is ${value}; it must be one of ${known.map(([key, name]) => `${key} (${name})`).join(", ")}`,
		);
	}
}

/** Returns a required message. Throws `invalid_argument` if it is missing. */
export function required<T>(field: string, value: T | undefined): T {
	if (value === undefined) {
		throw new MillraceError("invalid_argument", `${field} is missing; it is required`);
	}
	return value;
}

/** Returns a configuration. Throws `invalid_argument` naming the key that breaks a rule. */
export function checkedConfig(field: string, value: object | undefined): ExperimentConfig {
	try {
		return parseExperimentConfig(required(field, value)).config;
	} catch (error) {
		throw isMillraceError(error)
			? new MillraceError(error.code, `${field}: ${error.message}`, { cause: error })
			: error;
	}
}

/** Returns a worker. Throws `invalid_argument` if it is missing or cannot be one. */
export function checkedMember(field: string, value: Member | undefined): Member {
	const member = required(field, value);
	assertId(`${field}.trial_id`, member.trialId);
	assertId(`${field}.trial_run_id`, member.trialRunId);
	assertNotNegative(`${field}.rank`, member.rank);
	assertText(`${field}.member_uuid`, member.memberUuid);
	return member;
}

/**
 * Returns a count as a number.
 *
 * Throws `invalid_argument` if it is negative, or larger than a number holds exactly.
 */
export function checkedCount(field: string, value: bigint): number {
	assertNotNegative(field, value);
	if (value > Number.MAX_SAFE_INTEGER) {
		throw new MillraceError("invalid_argument", `${field} is ${value}; at most ${Number.MAX_SAFE_INTEGER} is possible`);
	}
	return Number(value);
}

/** Throws `invalid_argument` if files have malformed paths, sizes or digests, or two have one path. */
export function assertFiles(field: string, files: readonly StoredFile[]): void {
	const paths = new Set<string>();
	for (const [i, file] of files.entries()) {
		assertFile(`${field}[${i}]`, file);
		if (paths.has(file.path)) {
			throw new MillraceError(
				"invalid_argument",
				`${field} names ${JSON.stringify(file.path)} twice; name each file once`,
			);
		}
		paths.add(file.path);
	}
}

/** Throws `invalid_argument` if a file has a malformed path, size or digest. */
export function assertFile(field: string, file: StoredFile): void {
	const parts = file.path.split("/");
	if (parts.some((part) => part === "" || part === "." || part === "..") || /[\0\\]/.test(file.path)) {
		throw new MillraceError(
			"invalid_argument",
			`${field}.path is ${JSON.stringify(file.path)}; it must be a relative path with "/" and without ".."`,
		);
	}
	checkedCount(`${field}.size_bytes`, file.sizeBytes);
	if (!/^[0-9a-f]{64}$/.test(file.sha256)) {
		throw new MillraceError(
			"invalid_argument",
			`${field}.sha256 is ${JSON.stringify(file.sha256)}; it must be 64 hexadecimal digits in lower case`,
		);
	}
}

/** Throws `invalid_argument` if a text is not JSON of the wanted kind. */
export function parseJson(field: string, text: string, kind: "object" | "array" | "value"): unknown {
	let value: unknown;
	try {
		value = JSON.parse(text);
	} catch (cause) {
		throw new MillraceError(
			"invalid_argument",
			`${field} is not JSON: ${(cause as Error).message}; write NaN and infinities as the strings "NaN", "Infinity", "-Infinity"`,
			{ cause },
		);
	}
	const found = Array.isArray(value) ? "array" : value === null ? "null" : typeof value;
	if (kind !== "value" && found !== kind) {
		throw new MillraceError("invalid_argument", `${field} is JSON of another kind (${found}); it must be an ${kind}`);
	}
	return value;
}

/** The deepest nesting of JSON that is stored, as in the SDK. */
const maxDepth = 200;

/**
 * Throws `invalid_argument` if a JSON object or array is nested deeper than 200, or holds a number that JSON cannot
 * write: NaN, or an infinity, as which a number is read that is too large for a double.
 */
export function assertStorable(field: string, value: object): void {
	// Level by level, as the stack would not bear what is nested too deeply.
	let level: { readonly name: string; readonly value: object }[] = [{ name: field, value }];
	for (let depth = 1; level.length > 0; depth++) {
		if (depth > maxDepth) {
			throw new MillraceError("invalid_argument", `${field} is nested more than ${maxDepth} deep; make it flatter`);
		}
		const next: typeof level = [];
		for (const outer of level) {
			for (const [key, inner] of Object.entries(outer.value)) {
				const name = depth === 1 ? `${field}.${key}` : outer.name;
				if (typeof inner === "number" && !Number.isFinite(inner)) {
					throw new MillraceError(
						"invalid_argument",
						`${name} is or holds a number beyond the range of a double, or NaN; write the strings "NaN", "Infinity", "-Infinity"`,
					);
				}
				if (typeof inner === "object" && inner !== null) {
					next.push({ name, value: inner });
				}
			}
		}
		level = next;
	}
}

/** Returns a time in milliseconds since 1970. Throws `invalid_argument` if it is not in the years 1 to 9999. */
export function checkedTime(field: string, time: Timestamp): number {
	const { seconds, nanos } = time;
	if (seconds < -62_135_596_800n || seconds > 253_402_300_799n || nanos < 0 || nanos > 999_999_999) {
		throw new MillraceError(
			"invalid_argument",
			`${field} is ${seconds} s and ${nanos} ns since 1970; it must lie in the years 1 to 9999, and its nanoseconds from 0 to 999999999`,
		);
	}
	return Math.floor(timestampMs(time));
}
