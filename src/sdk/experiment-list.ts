import type { MessageInitShape } from "@bufbuild/protobuf";
import { ExperimentSortBy as SortBy, ExperimentState as State } from "../gen/millrace/v1/experiment_pb.js";
import type { ListExperimentsRequestSchema } from "../gen/millrace/v1/experiment_service_pb.js";
import { OrderBy as Order } from "../gen/millrace/v1/list_pb.js";
import { assertBoolean } from "./assert-boolean.js";
import { assertNumber, checkedNumbers } from "./assert-number.js";
import { assertKnownOptions } from "./assert-options.js";
import { assertString, checkedStrings } from "./assert-string.js";
import { type AsyncList, pagedList } from "./async-list.js";
import { enumOption, type OrderBy } from "./enum-option.js";
import { Experiment, type ExperimentState } from "./experiment.js";
import type { Session } from "./session.js";

/**
 * What experiments are sorted by. Python: ExperimentSortBy
 *
 * - `"END_TIME"`: those that have not ended come last in ascending order.
 * - `"STATE"`: ACTIVE, PAUSED, COMPLETED, CANCELED, ERROR.
 */
export type ExperimentSortBy =
	| "ID"
	| "NAME"
	| "DESCRIPTION"
	| "START_TIME"
	| "END_TIME"
	| "STATE"
	| "NUM_TRIALS"
	| "PROGRESS"
	| "USER";

/** Options of `client.listExperiments`: how the experiments are sorted, and what they are filtered by. */
export interface ListExperimentsOptions {
	/** Default: "ID", the newest first. Experiments that are equal in it are sorted by id, in the same direction. */
	readonly sortBy?: ExperimentSortBy;
	/** Default: "ASC", but "DESC" without `sortBy`. */
	readonly orderBy?: OrderBy;
	/** Only these experiments; none for any. */
	readonly experimentIds?: readonly number[];
	/** Only experiments that have all of these labels; none for any. */
	readonly labels?: readonly string[];
	/** Only experiments of one of these users; none for any. */
	readonly users?: readonly string[];
	/** Only experiments in one of these states; none for any. */
	readonly states?: readonly ExperimentState[];
	/** Only experiments whose name contains this, in any case. No character is a wildcard. */
	readonly name?: string;
	/** Only experiments whose description contains this, in any case. */
	readonly description?: string;
	/** Only experiments that are archived, or only those that are not. Default: both. */
	readonly archived?: boolean;
	/** Only experiments of this project. There is one: 1, "Uncategorized". */
	readonly projectId?: number;
}

/** Lists experiments. Reading throws `invalid_argument` for an option that is not of its type. */
export function experimentList(session: Session, options: ListExperimentsOptions): AsyncList<Experiment> {
	return pagedList(async (page) => {
		const request = requestOf(options);
		const { experiments } = await session.connection();
		const answer = await experiments.listExperiments({ ...page, ...request });
		const items = answer.experiments.map((message) => new Experiment(session, message));
		return { items, nextPageToken: answer.nextPageToken };
	});
}

function requestOf(options: ListExperimentsOptions): MessageInitShape<typeof ListExperimentsRequestSchema> {
	assertKnownOptions(options, "listExperiments", [
		"sortBy",
		"orderBy",
		"experimentIds",
		"labels",
		"users",
		"states",
		"name",
		"description",
		"archived",
		"projectId",
	]);
	const { experimentIds = [], states = [], name = "", description = "", archived, projectId } = options;
	assertString(name, "name");
	assertString(description, "description");
	if (archived !== undefined) {
		assertBoolean(archived, "archived");
	}
	if (projectId !== undefined) {
		assertNumber(projectId, "projectId");
	}
	return {
		sortBy: enumOption(SortBy, options.sortBy, "sortBy"),
		orderBy: enumOption(Order, options.orderBy, "orderBy"),
		experimentIds: checkedNumbers(experimentIds, "experimentIds"),
		labels: checkedStrings(options.labels ?? [], "labels"),
		usernames: checkedStrings(options.users ?? [], "users"),
		states: checkedStrings(states, "states").map((state, i) => enumOption(State, state, `states[${i}]`)),
		...{ name, description },
		...(archived !== undefined && { archived }),
		...(projectId !== undefined && { projectId }),
	};
}
