import type { JsonObject } from "@bufbuild/protobuf";
import type { MetadataChange } from "../../gen/millrace/v1/change_pb.js";
import { applyMetadataChange } from "../metadata-change.js";
import { assertRunMetadata } from "../run-metadata.js";
import type { Transaction } from "./database.js";
import { toObject } from "./json-column.js";
import { getTrialRow } from "./trials.js";

/**
 * Changes a trial's metadata, and returns all of it.
 *
 * Throws `not_found` if there is no such trial, `invalid_argument` if the result breaks a rule of `assertRunMetadata`.
 */
export async function updateMetadata(tx: Transaction, trialId: number, change: MetadataChange): Promise<JsonObject> {
	const stored = applyMetadataChange("metadata", (await getTrialRow(tx, trialId)).metadata, change);
	const metadata = toObject(stored);
	assertRunMetadata(metadata);
	await tx.run("UPDATE trials SET metadata = ? WHERE id = ?", stored, trialId);
	return metadata;
}
