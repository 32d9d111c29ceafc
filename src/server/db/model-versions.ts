import { create, type JsonObject } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { MillraceError } from "../../errors.js";
import { type ModelVersion, ModelVersionSchema } from "../../gen/millrace/v1/model_pb.js";
import { getCheckpointRow, getCheckpointsById } from "./checkpoints.js";
import type { Reader, Transaction } from "./database.js";
import { fromLabels, fromObject, toLabels, toObject } from "./json-column.js";
import { getModelRow, type ModelRow, soleUser } from "./models.js";

/** A row of the table model_versions. */
export interface ModelVersionRow {
	readonly model_id: number;
	readonly version: number;
	readonly checkpoint_id: number;
	readonly name: string;
	readonly comment: string;
	readonly notes: string;
	readonly metadata: string;
	readonly labels: string;
	readonly username: string;
	readonly create_time: number;
	readonly update_time: number;
}

/**
 * Registers a checkpoint as the next version of a model.
 *
 * Throws `not_found` if the model or the checkpoint does not exist, `failed_precondition` if the model is
 * archived or the checkpoint not COMPLETED.
 */
export async function registerModelVersion(
	tx: Transaction,
	version: {
		model: string;
		checkpointUuid: string;
		name: string;
		comment: string;
		notes: string;
		metadata: JsonObject | undefined;
		labels: readonly string[];
	},
): Promise<ModelVersion> {
	const model = await getModelRow(tx, version.model);
	if (model.archived !== 0) {
		throw new MillraceError(
			"failed_precondition",
			`model ${JSON.stringify(model.name)} is archived and cannot register new versions; unarchive it first`,
		);
	}
	const checkpoint = await getCheckpointRow(tx, version.checkpointUuid);
	if (checkpoint.state !== "COMPLETED") {
		throw new MillraceError(
			"failed_precondition",
			`checkpoint ${checkpoint.uuid} is in ${checkpoint.state} state. checkpoints for model versions must be in a COMPLETED state`,
		);
	}
	await tx.run("UPDATE models SET next_version = next_version + 1 WHERE id = ?", model.id);
	await tx.run(
		`INSERT INTO model_versions
			(model_id, version, checkpoint_id, name, comment, notes, metadata, labels, username, create_time, update_time)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10)`,
		model.id,
		model.next_version,
		checkpoint.id,
		version.name,
		version.comment,
		version.notes,
		fromObject(version.metadata),
		fromLabels(version.labels),
		soleUser,
		tx.now,
	);
	return getModelVersion(tx, model, model.next_version);
}

/** Returns a version's row. Throws `not_found` if there is none. */
export async function getModelVersionRow(db: Reader, model: ModelRow, version: number): Promise<ModelVersionRow> {
	const row = await db.get<ModelVersionRow>(
		"SELECT * FROM model_versions WHERE model_id = ? AND version = ?",
		model.id,
		version,
	);
	if (row === undefined) {
		throw new MillraceError("not_found", `version ${version} for model ${JSON.stringify(model.name)} not found`);
	}
	return row;
}

/** Returns a version of a model. Throws `not_found` if there is none. */
export async function getModelVersion(db: Reader, model: ModelRow, version: number): Promise<ModelVersion> {
	const [found] = await toModelVersions(db, model, [await getModelVersionRow(db, model, version)]);
	return found as ModelVersion;
}

/** Returns versions of a model with a number below `before`, the newest first. */
export async function listModelVersions(
	db: Reader,
	model: ModelRow,
	before: number,
	limit: number,
): Promise<ModelVersion[]> {
	const rows = await db.all<ModelVersionRow>(
		"SELECT * FROM model_versions WHERE model_id = ? AND version < ? ORDER BY version DESC LIMIT ?",
		model.id,
		before,
		limit,
	);
	return toModelVersions(db, model, rows);
}

async function toModelVersions(db: Reader, model: ModelRow, rows: readonly ModelVersionRow[]): Promise<ModelVersion[]> {
	const checkpoints = await getCheckpointsById(
		db,
		rows.map((row) => row.checkpoint_id),
	);
	return rows.map((row) => {
		const checkpoint = checkpoints.get(row.checkpoint_id);
		return create(ModelVersionSchema, {
			modelId: row.model_id,
			modelName: model.name,
			version: row.version,
			...(checkpoint && { checkpoint }),
			name: row.name,
			comment: row.comment,
			notes: row.notes,
			metadata: toObject(row.metadata),
			labels: toLabels(row.labels),
			username: row.username,
			createTime: timestampFromMs(row.create_time),
			updateTime: timestampFromMs(row.update_time),
		});
	});
}
