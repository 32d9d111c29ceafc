import { create, type JsonObject } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { MillraceError } from "../../errors.js";
import type { MetadataChange } from "../../gen/millrace/v1/change_pb.js";
import { type Model, ModelSchema } from "../../gen/millrace/v1/model_pb.js";
import { applyMetadataChange } from "../metadata-change.js";
import type { Reader, Transaction } from "./database.js";
import { fromLabels, fromObject, isSameObject, toLabels, toObject } from "./json-column.js";

/** A row of the table models. */
export interface ModelRow {
	readonly id: number;
	readonly name: string;
	readonly description: string;
	readonly notes: string;
	readonly metadata: string;
	readonly labels: string;
	readonly username: string;
	readonly archived: number;
	readonly next_version: number;
	readonly create_time: number;
	readonly update_time: number;
	readonly version_count: number;
}

/** The built-in workspace. */
export const soleWorkspace = { id: 1, name: "Uncategorized" };

/**
 * Creates a model.
 *
 * Throws `already_exists` if there is one of this name, unless `existOk`: then it is returned, unchanged.
 */
export async function createModel(
	tx: Transaction,
	model: {
		name: string;
		description: string;
		metadata: JsonObject;
		labels: readonly string[];
		username: string;
		existOk: boolean;
	},
): Promise<Model> {
	const created = await tx.get(
		`INSERT INTO models (name, description, metadata, labels, username, create_time, update_time)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6) ON CONFLICT DO NOTHING RETURNING id`,
		model.name,
		model.description,
		fromObject(model.metadata),
		fromLabels(model.labels),
		model.username,
		tx.now,
	);
	if (created === undefined && !model.existOk) {
		throw nameTaken(model.name);
	}
	const row = await tx.get<ModelRow>("SELECT * FROM models WHERE name = ?", model.name);
	return toModel(row as ModelRow);
}

/** Returns the row of a model that is given by name, or by id in digits. Throws `not_found` if there is none. */
export async function getModelRow(db: Reader, nameOrId: string): Promise<ModelRow> {
	const row = /^\d+$/.test(nameOrId)
		? await db.get<ModelRow>("SELECT * FROM models WHERE id = ?", Number(nameOrId))
		: await db.get<ModelRow>("SELECT * FROM models WHERE name = ?", nameOrId);
	if (row === undefined) {
		throw new MillraceError("not_found", `model ${JSON.stringify(nameOrId)} not found`);
	}
	return row;
}

/** What to change of a model; undefined stays. */
export interface ModelChange {
	readonly name: string | undefined;
	readonly description: string | undefined;
	readonly notes: string | undefined;
	readonly metadata: MetadataChange | undefined;
	readonly labels: readonly string[] | undefined;
}

/**
 * Changes a model, and returns its id. Where that changes nothing, nothing is written.
 *
 * Throws `not_found` if there is none, `failed_precondition` if it is archived, `already_exists` for the name of another
 * model, `invalid_argument` if its metadata became too large.
 */
export async function updateModel(tx: Transaction, nameOrId: string, change: ModelChange): Promise<number> {
	const row = await getModelRow(tx, nameOrId);
	assertNotArchived(row, "cannot have attributes updated");
	const changed = {
		name: change.name ?? row.name,
		description: change.description ?? row.description,
		notes: change.notes ?? row.notes,
		metadata: applyMetadataChange("metadata", row.metadata, change.metadata),
		labels: change.labels ? fromLabels(change.labels) : row.labels,
	};
	if (
		changed.name === row.name &&
		changed.description === row.description &&
		changed.notes === row.notes &&
		changed.labels === row.labels &&
		isSameObject(changed.metadata, row.metadata)
	) {
		return row.id;
	}
	const namesake = await tx.get("SELECT id FROM models WHERE name = ? AND id <> ?", changed.name, row.id);
	if (namesake !== undefined) {
		throw nameTaken(changed.name);
	}
	await tx.run(
		"UPDATE models SET name = ?, description = ?, notes = ?, metadata = ?, labels = ?, update_time = ? WHERE id = ?",
		changed.name,
		changed.description,
		changed.notes,
		changed.metadata,
		changed.labels,
		tx.now,
		row.id,
	);
	return row.id;
}

/** Archives a model, or makes it writable again; one that is so already stays as it is. Throws `not_found` if there is none. */
export async function setModelArchived(tx: Transaction, nameOrId: string, archived: boolean): Promise<Model> {
	const row = await getModelRow(tx, nameOrId);
	if ((row.archived !== 0) === archived) {
		return toModel(row);
	}
	await tx.run("UPDATE models SET archived = ?, update_time = ? WHERE id = ?", archived, tx.now, row.id);
	return toModel({ ...row, archived: Number(archived), update_time: tx.now });
}

/**
 * Deletes a model and its versions. The links of trials stay: they lead from the checkpoints of the versions to what was
 * reported, and ids and version numbers are never given again.
 *
 * Throws `not_found` if there is none.
 */
export async function deleteModel(tx: Transaction, nameOrId: string): Promise<void> {
	const { id } = await getModelRow(tx, nameOrId);
	await tx.run("DELETE FROM model_versions WHERE model_id = ?", id);
	await tx.run("DELETE FROM models WHERE id = ?", id);
}

/** Throws `failed_precondition` if a model is archived. `refused` says what it is that it cannot do. */
export function assertNotArchived(model: ModelRow, refused: string): void {
	if (model.archived !== 0) {
		throw new MillraceError(
			"failed_precondition",
			`model ${JSON.stringify(model.name)} is archived and ${refused}; unarchive it first`,
		);
	}
}

/** Makes a model of its row. */
export function toModel(row: ModelRow): Model {
	return create(ModelSchema, {
		id: row.id,
		name: row.name,
		description: row.description,
		notes: row.notes,
		metadata: toObject(row.metadata),
		labels: toLabels(row.labels),
		username: row.username,
		archived: row.archived !== 0,
		versionCount: row.version_count,
		workspaceId: soleWorkspace.id,
		createTime: timestampFromMs(row.create_time),
		updateTime: timestampFromMs(row.update_time),
	});
}

function nameTaken(name: string): MillraceError {
	return new MillraceError(
		"already_exists",
		`there is a model ${JSON.stringify(name)} already; avoid names equal to other models (case-sensitive)`,
	);
}
