import { checkedStrings } from "./assert-string.js";
import { type JsonObject, toJsonObject } from "./json.js";

/** Returns the change that sets keys of metadata; the server makes it as one step, so that no other change is lost. */
export function addition(metadata: JsonObject): { set: JsonObject } {
	return { set: toJsonObject(metadata, "metadata") };
}

/** Returns the change that removes keys of metadata. */
export function removal(keys: readonly string[]): { remove: string[] } {
	return { remove: checkedStrings(keys, "keys") };
}
