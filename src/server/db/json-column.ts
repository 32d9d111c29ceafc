import { isDeepStrictEqual } from "node:util";
import { create, fromJson, type JsonObject, toJson } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Storage, StorageSchema } from "../../gen/millrace/v1/storage_pb.js";

/** Writes a free-form object; one that was not given is empty. Numbers that JSON lacks become strings. */
export function fromObject(object: JsonObject | undefined): string {
	return JSON.stringify(object ?? {}, (_, value) =>
		typeof value === "number" && !Number.isFinite(value) ? String(value) : value,
	);
}

/** Reads a free-form object. */
export function toObject(text: string): JsonObject {
	return JSON.parse(text) as JsonObject;
}

/** Whether two texts of JSON hold the same; the order of keys does not count. */
export function isSameObject(one: string, other: string): boolean {
	// Texts that hold the same have the same length, and most differ in it.
	return one === other || (one.length === other.length && isDeepStrictEqual(JSON.parse(one), JSON.parse(other)));
}

/** Writes labels, each once, in the order given. */
export function fromLabels(labels: readonly string[]): string {
	return JSON.stringify([...new Set(labels)]);
}

/** Reads a list of strings. */
export function toLabels(text: string): string[] {
	return JSON.parse(text) as string[];
}

/** Writes where files are kept. */
export function fromStorage(storage: Storage): string {
	return JSON.stringify(toJson(StorageSchema, storage));
}

/** Reads where files are kept. */
export function toStorage(text: string): Storage {
	return text === "" ? create(StorageSchema) : fromJson(StorageSchema, JSON.parse(text));
}

/** Reads a time that may be missing. */
export function toTimestamp(milliseconds: number | null): Timestamp | undefined {
	return milliseconds === null ? undefined : timestampFromMs(milliseconds);
}
