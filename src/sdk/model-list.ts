import type { MessageInitShape } from "@bufbuild/protobuf";
import { OrderBy as Order } from "../gen/millrace/v1/list_pb.js";
import { ModelSortBy as SortBy } from "../gen/millrace/v1/model_pb.js";
import type { ListModelsRequestSchema } from "../gen/millrace/v1/model_service_pb.js";
import { assertBoolean } from "./assert-boolean.js";
import { assertNumber, checkedNumbers } from "./assert-number.js";
import { assertKnownOptions } from "./assert-options.js";
import { assertString, checkedStrings } from "./assert-string.js";
import { type AsyncList, pagedList } from "./async-list.js";
import { enumOption, type OrderBy } from "./enum-option.js";
import { Model } from "./model.js";
import type { Session } from "./session.js";

/** What models are sorted by. Python: ModelSortBy */
export type ModelSortBy = "NAME" | "DESCRIPTION" | "CREATION_TIME" | "LAST_UPDATED_TIME" | "NUM_VERSIONS";

/** Options of `client.listModels`: how the models are sorted, and what they are filtered by. */
export interface ListModelsOptions {
	/** Default: "NAME". Models that are equal in it are sorted by id, in the same direction. */
	readonly sortBy?: ModelSortBy;
	/** Default: "ASC". */
	readonly orderBy?: OrderBy;
	/** Only models whose name contains this, in any case. No character is a wildcard. */
	readonly name?: string;
	/** Only models whose description contains this, in any case. */
	readonly description?: string;
	/** Only the model with this id. */
	readonly modelId?: number;
	/** Only models that have one of these labels; none for any. */
	readonly labels?: readonly string[];
	/** Only models that are archived, or only those that are not. Default: both. */
	readonly archived?: boolean;
	/** Only models of one of these users; none for any. */
	readonly users?: readonly string[];
	/** Only models in one of these workspaces; none for any. There is one: "Uncategorized". */
	readonly workspaceNames?: readonly string[];
	/** Only models in one of these workspaces, by id; none for any. There is one: 1. */
	readonly workspaceIds?: readonly number[];
}

/** Lists models. Reading throws `invalid_argument` for an option that is not of its type. */
export function modelList(session: Session, options: ListModelsOptions): AsyncList<Model> {
	return pagedList(async (page) => {
		const filter = filterOf(options);
		const { models } = await session.connection();
		const answer = await models.listModels({ ...page, ...filter });
		return { items: answer.models.map((message) => new Model(session, message)), nextPageToken: answer.nextPageToken };
	});
}

function filterOf(options: ListModelsOptions): MessageInitShape<typeof ListModelsRequestSchema> {
	assertKnownOptions(options, "listModels", [
		"sortBy",
		"orderBy",
		"name",
		"description",
		"modelId",
		"labels",
		"archived",
		"users",
		"workspaceNames",
		"workspaceIds",
	]);
	const { name = "", description = "", modelId, archived, workspaceIds = [] } = options;
	assertString(name, "name");
	assertString(description, "description");
	if (modelId !== undefined) {
		assertNumber(modelId, "modelId");
	}
	if (archived !== undefined) {
		assertBoolean(archived, "archived");
	}
	return {
		sortBy: enumOption(SortBy, options.sortBy ?? "NAME", "sortBy"),
		orderBy: enumOption(Order, options.orderBy, "orderBy"),
		...{ name, description, workspaceIds: checkedNumbers(workspaceIds, "workspaceIds") },
		...(modelId !== undefined && { modelId }),
		...(archived !== undefined && { archived }),
		labels: checkedStrings(options.labels ?? [], "labels"),
		usernames: checkedStrings(options.users ?? [], "users"),
		workspaceNames: checkedStrings(options.workspaceNames ?? [], "workspaceNames"),
	};
}
