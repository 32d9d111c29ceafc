import { type ExperimentState, ExperimentSortBy as SortBy } from "../../gen/millrace/v1/experiment_pb.js";
import type { Reader, SqlValue } from "./database.js";
import { type ExperimentRow, experimentColumns, experimentTables } from "./experiments.js";
import { keyset, type Sort, type SortedPlace } from "./sorted-page.js";

/** Which experiments are listed. What is left out, or empty, does not matter. */
export interface ExperimentFilter {
	readonly ids: readonly number[];
	/** All of them. */
	readonly labels: readonly string[];
	readonly usernames: readonly string[];
	readonly states: readonly ExperimentState[];
	/** A pattern for GLOB. */
	readonly name: string;
	/** A pattern for GLOB. */
	readonly description: string;
	readonly archived: boolean | undefined;
}

/** A row of a list of experiments, with what it is sorted by. */
export type ListedExperiment = ExperimentRow & { readonly sort_key: string | number };

const sortKeys: Record<SortBy, Pick<Sort, "key" | "kind">> = {
	[SortBy.UNSPECIFIED]: { key: "experiments.id", kind: "number" },
	[SortBy.ID]: { key: "experiments.id", kind: "number" },
	[SortBy.NAME]: { key: "experiments.name", kind: "text" },
	[SortBy.DESCRIPTION]: { key: "experiments.description", kind: "text" },
	[SortBy.START_TIME]: { key: "experiments.create_time", kind: "number" },
	[SortBy.END_TIME]: { key: "totals.end_order", kind: "number" },
	[SortBy.STATE]: { key: "totals.state", kind: "number" },
	[SortBy.NUM_TRIALS]: { key: "totals.trial_count", kind: "number" },
	[SortBy.PROGRESS]: { key: "totals.progress", kind: "number" },
	[SortBy.USER]: { key: "experiments.username", kind: "text" },
};

/** Returns how experiments are sorted by something. */
export function experimentSort(sortBy: SortBy, descending: boolean): Sort {
	return { ...sortKeys[sortBy], descending };
}

/** Returns the experiments of a page, and one more if there is one. */
export async function listExperiments(
	db: Reader,
	filter: ExperimentFilter,
	place: SortedPlace,
): Promise<ListedExperiment[]> {
	const { key } = place.sort;
	// The id of the table that the key is in, so that one index gives the order.
	const page = keyset(place, key.includes("totals.") ? "totals.experiment_id" : "experiments.id");
	const conditions = conditionsOf(filter);
	return db.all<ListedExperiment>(
		`SELECT ${experimentColumns}, ${key} AS sort_key FROM ${experimentTables}
		WHERE ${[page.where, ...conditions.map(([sql]) => sql)].join(" AND ")} ORDER BY ${page.orderBy} LIMIT ?`,
		...page.parameters,
		...conditions.flatMap(([, ...parameters]) => parameters),
		page.limit,
	);
}

function conditionsOf(filter: ExperimentFilter): [sql: string, ...parameters: SqlValue[]][] {
	const conditions: [sql: string, ...parameters: SqlValue[]][] = [];
	const among = (column: string, values: readonly (string | number)[]) => {
		if (values.length > 0) {
			conditions.push([`${column} IN (SELECT value FROM json_each(?))`, JSON.stringify(values)]);
		}
	};
	among("experiments.id", filter.ids);
	among("experiments.username", filter.usernames);
	among("totals.state", filter.states);
	if (filter.labels.length > 0) {
		conditions.push([
			`NOT EXISTS (SELECT 1 FROM json_each(?) AS wanted
				WHERE wanted.value NOT IN (SELECT value FROM json_each(experiments.labels)))`,
			JSON.stringify(filter.labels),
		]);
	}
	for (const [column, pattern] of Object.entries({ name: filter.name, description: filter.description })) {
		if (pattern !== "*") {
			conditions.push([`experiments.${column} GLOB ?`, pattern]);
		}
	}
	if (filter.archived !== undefined) {
		conditions.push(["experiments.archived = ?", filter.archived]);
	}
	return conditions;
}
