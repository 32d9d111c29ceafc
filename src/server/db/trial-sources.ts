import { TrialSourceInfoType } from "../../gen/millrace/v1/trial_pb.js";
import { getCheckpointRow } from "./checkpoints.js";
import type { Reader, Transaction } from "./database.js";
import { enumName } from "./enum-name.js";
import { getModelVersionRow } from "./model-versions.js";
import { getModelRow } from "./models.js";
import { getTrialRow } from "./trials.js";

/** What a trial used. */
export type TrialSource = { readonly checkpointUuid: string } | { readonly model: string; readonly version: number };

/**
 * Links a trial to what it used, or changes the type of the link, and returns the checkpoint's UUID.
 *
 * Throws `not_found` if the trial, the checkpoint or the model version does not exist.
 */
export async function linkTrialSource(
	tx: Transaction,
	trialId: number,
	type: TrialSourceInfoType,
	source: TrialSource,
): Promise<string> {
	await getTrialRow(tx, trialId);
	const link = await findTrialSource(tx, source);
	await tx.run(
		`INSERT INTO trial_sources (trial_id, checkpoint_id, model_id, version, type) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET type = excluded.type`,
		trialId,
		link.checkpointId,
		link.modelId,
		link.version,
		enumName(TrialSourceInfoType, type),
	);
	const checkpoint = await tx.get<{ uuid: string }>("SELECT uuid FROM checkpoints WHERE id = ?", link.checkpointId);
	return checkpoint?.uuid ?? "";
}

/**
 * Returns the ids by which a link, or a report, names a source; 0 where it names no model version.
 *
 * Throws `not_found` if the checkpoint or the model version does not exist.
 */
export async function findTrialSource(
	db: Reader,
	source: TrialSource,
): Promise<{ checkpointId: number; modelId: number; version: number }> {
	if ("checkpointUuid" in source) {
		const { id } = await getCheckpointRow(db, source.checkpointUuid);
		return { checkpointId: id, modelId: 0, version: 0 };
	}
	const model = await getModelRow(db, source.model);
	const row = await getModelVersionRow(db, model, source.version);
	return { checkpointId: row.checkpoint_id, modelId: model.id, version: row.version };
}

/** Links trials to what they ran inference with. A link that is there stays as it is. */
export async function linkTrialSources(
	tx: Transaction,
	links: readonly (readonly [trialId: number, checkpointId: number, modelId: number, version: number])[],
): Promise<void> {
	await tx.run(
		`INSERT INTO trial_sources (trial_id, checkpoint_id, model_id, version, type)
		SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, 'INFERENCE' FROM json_each(?) WHERE true
		ON CONFLICT DO NOTHING`,
		JSON.stringify(links),
	);
}

/**
 * Returns the trials that are linked to a checkpoint, also those linked through a model version of it.
 *
 * Throws `not_found` if the checkpoint does not exist.
 */
export async function trialsOfCheckpoint(db: Reader, uuid: string): Promise<number[]> {
	const checkpoint = await getCheckpointRow(db, uuid);
	const rows = await db.all<{ trial_id: number }>(
		"SELECT DISTINCT trial_id FROM trial_sources WHERE checkpoint_id = ? ORDER BY trial_id",
		checkpoint.id,
	);
	return rows.map((row) => row.trial_id);
}

/**
 * Returns the trials that are linked to a model version.
 *
 * Throws `not_found` if the model or the version does not exist.
 */
export async function trialsOfModelVersion(db: Reader, nameOrId: string, version: number): Promise<number[]> {
	const model = await getModelRow(db, nameOrId);
	await getModelVersionRow(db, model, version);
	const rows = await db.all<{ trial_id: number }>(
		"SELECT DISTINCT trial_id FROM trial_sources WHERE model_id = ? AND version = ? ORDER BY trial_id",
		model.id,
		version,
	);
	return rows.map((row) => row.trial_id);
}
