import type { JsonObject } from "@bufbuild/protobuf";
import { MillraceError } from "../errors.js";
import type { MetadataChange } from "../gen/millrace/v1/change_pb.js";
import { assertStorable } from "./request-checks.js";

/** How long metadata may be as JSON text, in bytes. */
const largestMetadata = 1024 * 1024;

/**
 * Returns metadata, or another free-form object of a user's; an empty one if none was given.
 *
 * Throws `invalid_argument`, naming the key, if it holds NaN or an infinity, is nested deeper than 200, or is longer than
 * 1 MiB as JSON.
 */
export function checkedObject(field: string, object: JsonObject | undefined): JsonObject {
	const checked = object ?? {};
	assertStorable(field, checked);
	assertSize(field, JSON.stringify(checked));
	return checked;
}

/** Throws `invalid_argument` as `checkedObject`, for what the change sets. */
export function assertMetadataChange(field: string, change: MetadataChange | undefined): void {
	checkedObject(`${field}.set`, change?.set);
}

/**
 * Applies a change to metadata that is stored as JSON text: it clears, then removes, then sets. For the inside of the
 * write transaction that reads the text, so that no other change is lost.
 *
 * Throws `invalid_argument` if more than 1 MiB would be stored.
 */
export function applyMetadataChange(field: string, stored: string, change: MetadataChange | undefined): string {
	if (change === undefined) {
		return stored;
	}
	const entries = new Map(change.clear ? [] : Object.entries(JSON.parse(stored) as JsonObject));
	for (const key of change.remove) {
		entries.delete(key);
	}
	for (const [key, value] of Object.entries(change.set ?? {})) {
		entries.set(key, value);
	}
	const changed = JSON.stringify(Object.fromEntries(entries));
	assertSize(field, changed);
	return changed;
}

function assertSize(field: string, text: string): void {
	const bytes = Buffer.byteLength(text);
	if (bytes > largestMetadata) {
		throw new MillraceError(
			"invalid_argument",
			`${field} would have ${bytes} bytes as JSON; at most ${largestMetadata} are stored: keep what is larger in files`,
		);
	}
}
