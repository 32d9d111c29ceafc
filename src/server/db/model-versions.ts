import { create, type JsonObject } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { MillraceError } from "../../errors.js";
import type { MetadataChange } from "../../gen/millrace/v1/change_pb.js";
import { type ModelVersion, ModelVersionSchema } from "../../gen/millrace/v1/model_pb.js";
import { applyMetadataChange } from "../metadata-change.js";
import { getCheckpointRow, getCheckpointsById } from "./checkpoints.js";
import type { Reader, Transaction } from "./database.js";
import { fromLabels, fromObject, isSameObject, toLabels, toObject } from "./json-column.js";
import { assertNotArchived, getModelRow, type ModelRow } from "./models.js";
import { keyset, type SortedPlace } from "./sorted-page.js";

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
		metadata: JsonObject;
		labels: readonly string[];
		username: string;
	},
): Promise<ModelVersion> {
	const model = await getModelRow(tx, version.model);
	assertNotArchived(model, "cannot register new versions");
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
		version.username,
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

/** Returns the newest version of a model; undefined if it has none. */
export async function getNewestModelVersion(db: Reader, model: ModelRow): Promise<ModelVersion | undefined> {
	const rows = await db.all<ModelVersionRow>(
		"SELECT * FROM model_versions WHERE model_id = ? ORDER BY version DESC LIMIT 1",
		model.id,
	);
	const [newest] = await toModelVersions(db, model, rows);
	return newest;
}

/** Returns the versions of a page and the first one after it. */
export function listModelVersions(db: Reader, model: ModelRow, place: SortedPlace): Promise<ModelVersionRow[]> {
	const { where, parameters, orderBy, limit } = keyset(place, "version");
	return db.all<ModelVersionRow>(
		`SELECT * FROM model_versions WHERE model_id = ? AND ${where} ORDER BY ${orderBy} LIMIT ?`,
		model.id,
		...parameters,
		limit,
	);
}

/** What to change of a version; undefined stays. */
export interface ModelVersionChange {
	readonly name: string | undefined;
	readonly comment: string | undefined;
	readonly notes: string | undefined;
	readonly metadata: MetadataChange | undefined;
	readonly labels: readonly string[] | undefined;
}

/**
 * Changes a version of a model, and returns the id of the model. Where that changes nothing, nothing is written.
 *
 * Throws `not_found` if there is none, `failed_precondition` if the model is archived, `invalid_argument` if its metadata
 * became too large.
 */
export async function updateModelVersion(
	tx: Transaction,
	nameOrId: string,
	version: number,
	change: ModelVersionChange,
): Promise<number> {
	const model = await getModelRow(tx, nameOrId);
	const row = await getModelVersionRow(tx, model, version);
	assertNotArchived(model, "cannot have attributes of its versions updated");
	const changed = {
		name: change.name ?? row.name,
		comment: change.comment ?? row.comment,
		notes: change.notes ?? row.notes,
		metadata: applyMetadataChange("metadata", row.metadata, change.metadata),
		labels: change.labels ? fromLabels(change.labels) : row.labels,
	};
	if (
		changed.name === row.name &&
		changed.comment === row.comment &&
		changed.notes === row.notes &&
		changed.labels === row.labels &&
		isSameObject(changed.metadata, row.metadata)
	) {
		return model.id;
	}
	await tx.run(
		`UPDATE model_versions SET name = ?, comment = ?, notes = ?, metadata = ?, labels = ?, update_time = ?
		WHERE model_id = ? AND version = ?`,
		changed.name,
		changed.comment,
		changed.notes,
		changed.metadata,
		changed.labels,
		tx.now,
		model.id,
		version,
	);
	return model.id;
}

/**
 * Deletes a version of a model. Its number is never given again. The links of trials stay, as they lead from the
 * checkpoint to what was reported.
 *
 * Throws `not_found` if there is none.
 */
export async function deleteModelVersion(tx: Transaction, nameOrId: string, version: number): Promise<void> {
	const model = await getModelRow(tx, nameOrId);
	await getModelVersionRow(tx, model, version);
	await tx.run("DELETE FROM model_versions WHERE model_id = ? AND version = ?", model.id, version);
}

/** Makes versions of their rows, with their checkpoints as they are now. */
export async function toModelVersions(
	db: Reader,
	model: ModelRow,
	rows: readonly ModelVersionRow[],
): Promise<ModelVersion[]> {
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
