import { create, type JsonObject } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { MillraceError } from "../../errors.js";
import { type Model, ModelSchema } from "../../gen/millrace/v1/model_pb.js";
import type { Reader, Transaction } from "./database.js";
import { fromLabels, fromObject, toLabels, toObject } from "./json-column.js";

/** A row of the table models. */
export interface ModelRow {
	readonly id: number;
	readonly name: string;
	readonly description: string;
	readonly metadata: string;
	readonly labels: string;
	readonly username: string;
	readonly archived: number;
	readonly next_version: number;
	readonly create_time: number;
	readonly update_time: number;
	readonly version_count: number;
}

const columns = `models.*, (SELECT count(*) FROM model_versions WHERE model_id = models.id) AS version_count`;

/** The user of a server without accounts. */
export const soleUser = "determined";

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
		metadata: JsonObject | undefined;
		labels: readonly string[];
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
		soleUser,
		tx.now,
	);
	if (created === undefined && !model.existOk) {
		throw new MillraceError(
			"already_exists",
			`there is a model ${JSON.stringify(model.name)} already; avoid names equal to other models (case-sensitive)`,
		);
	}
	const row = await tx.get<ModelRow>(`SELECT ${columns} FROM models WHERE name = ?`, model.name);
	return toModel(row as ModelRow);
}

/** Returns the row of a model that is given by name, or by id in digits. Throws `not_found` if there is none. */
export async function getModelRow(db: Reader, nameOrId: string): Promise<ModelRow> {
	const row = /^\d+$/.test(nameOrId)
		? await db.get<ModelRow>(`SELECT ${columns} FROM models WHERE id = ?`, Number(nameOrId))
		: await db.get<ModelRow>(`SELECT ${columns} FROM models WHERE name = ?`, nameOrId);
	if (row === undefined) {
		throw new MillraceError("not_found", `model ${JSON.stringify(nameOrId)} not found`);
	}
	return row;
}

/** Returns models whose name comes after `after`, in the order of their names. */
export async function listModels(db: Reader, after: string, limit: number): Promise<Model[]> {
	const rows = await db.all<ModelRow>(
		`SELECT ${columns} FROM models WHERE name > ? ORDER BY name LIMIT ?`,
		after,
		limit,
	);
	return rows.map(toModel);
}

/** Makes a model of its row. */
export function toModel(row: ModelRow): Model {
	return create(ModelSchema, {
		id: row.id,
		name: row.name,
		description: row.description,
		metadata: toObject(row.metadata),
		labels: toLabels(row.labels),
		username: row.username,
		archived: row.archived !== 0,
		versionCount: row.version_count,
		createTime: timestampFromMs(row.create_time),
		updateTime: timestampFromMs(row.update_time),
	});
}
