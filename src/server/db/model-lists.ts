import type { ListModelsRequest } from "../../gen/millrace/v1/model_service_pb.js";
import type { Reader } from "./database.js";
import { type ModelRow, soleWorkspace } from "./models.js";
import { keyset, type Sort, type SortedPlace } from "./sorted-page.js";
import { containsPattern } from "./text-filter.js";

/** What a list of models is filtered by. */
export type ModelFilter = Pick<
	ListModelsRequest,
	"name" | "description" | "modelId" | "labels" | "archived" | "usernames" | "workspaceNames" | "workspaceIds"
>;

/**
 * Returns the models of a page and the first one after it.
 *
 * Throws `invalid_argument` for a text that cannot be looked for.
 */
export async function listModels(db: Reader, filter: ModelFilter, place: SortedPlace): Promise<ModelRow[]> {
	const name = containsPattern("name", filter.name);
	const description = containsPattern("description", filter.description);
	if (!isInWorkspace(filter)) {
		return [];
	}
	const { where, parameters, orderBy, limit } = keyset(place);
	return db.all<ModelRow>(
		`SELECT * FROM models WHERE ${where}
			AND name GLOB ? AND description GLOB ?
			AND ifnull(archived = ?, true)
			AND (? OR username IN (SELECT value FROM json_each(?)))
			AND (? OR EXISTS (
				SELECT 1 FROM json_each(models.labels) WHERE value IN (SELECT value FROM json_each(?))
			))
			${filter.modelId === 0 ? "" : "AND id = ?"}
		ORDER BY ${orderBy} LIMIT ?`,
		...parameters,
		name,
		description,
		filter.archived ?? null,
		filter.usernames.length === 0,
		JSON.stringify(filter.usernames),
		filter.labels.length === 0,
		JSON.stringify(filter.labels),
		...(filter.modelId === 0 ? [] : [filter.modelId]),
		limit,
	);
}

/** Labels as `listModelLabels` sorts them. */
export const byModelCount: Sort = { key: "negative_count", kind: "number", id: "text", descending: false };

/** Returns the labels of a page and the first one after it: those of most models first. */
export function listModelLabels(db: Reader, place: SortedPlace): Promise<{ label: string; negative_count: number }[]> {
	const { where, parameters, orderBy, limit } = keyset(place, "label");
	return db.all(`SELECT * FROM model_labels WHERE ${where} ORDER BY ${orderBy} LIMIT ?`, ...parameters, limit);
}

/** All models are in the same workspace. */
function isInWorkspace({ workspaceNames, workspaceIds }: ModelFilter): boolean {
	return (
		(workspaceNames.length === 0 || workspaceNames.includes(soleWorkspace.name)) &&
		(workspaceIds.length === 0 || workspaceIds.includes(soleWorkspace.id))
	);
}
