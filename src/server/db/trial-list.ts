import { TrialSortBy as SortBy, TrialState } from "../../gen/millrace/v1/trial_pb.js";
import type { Reader, SqlValue } from "./database.js";
import { enumName } from "./enum-name.js";
import { bestValidation, latestValidation, type SearcherMetric } from "./searcher-metric.js";
import { keyset, type Sort, type SortedPlace } from "./sorted-page.js";
import type { TrialRow } from "./trials.js";

/** Which trials are listed. */
export interface TrialFilter {
	/** 0 for those of all experiments. */
	readonly experimentId: number;
	/** None for any. */
	readonly states: readonly TrialState[];
}

/** How trials are sorted: the key may have the parameter ?1. */
export interface TrialSort extends Sort {
	readonly parameter?: SqlValue;
}

/** A row of a list of trials, with what it is sorted by. */
export type ListedTrial = TrialRow & { readonly sort_key: string | number };

/** Returns how trials are sorted by something, at a time that those which have not ended have reached. */
export function trialSort(sortBy: SortBy, descending: boolean, now: number, metric: SearcherMetric): TrialSort {
	const sort = (key: string, parameter?: SqlValue): TrialSort => ({
		key,
		kind: "number",
		descending,
		...(parameter !== undefined && { parameter }),
	});
	switch (sortBy) {
		case SortBy.UNSPECIFIED:
		case SortBy.ID:
			return sort("trials.id");
		case SortBy.START_TIME:
			return sort("trials.create_time");
		case SortBy.END_TIME:
			return sort("ifnull(trials.end_time, 9007199254740991)");
		case SortBy.STATE:
			return sort(stateNumber);
		case SortBy.BATCHES_PROCESSED:
			return sort("max(trials.max_step, trials.reported_step)");
		case SortBy.DURATION:
			return sort("ifnull(trials.end_time, ?1) - trials.create_time", now);
		case SortBy.RESTARTS:
			return sort("trials.restarts");
		case SortBy.CHECKPOINT_SIZE:
			return sort(checkpointSize);
		case SortBy.BEST_VALIDATION_METRIC:
			return sort(bestValidation(metric.smallerIsBetter, descending), metric.name);
		case SortBy.LATEST_VALIDATION_METRIC:
			return sort(latestValidation(descending), metric.name);
	}
}

const stateNumber = `CASE trials.state ${Object.entries(TrialState)
	.filter(([, value]) => typeof value === "number")
	.map(([name, value]) => `WHEN '${name}' THEN ${value}`)
	.join(" ")} ELSE 0 END`;

const checkpointSize = `(SELECT ifnull(sum(files.size_bytes), 0)
	FROM checkpoints JOIN checkpoint_files AS files ON files.checkpoint_id = checkpoints.id
	WHERE checkpoints.trial_id = trials.id AND checkpoints.state <> 'DELETED')`;

/** Returns the trials of a page, and one more if there is one. */
export async function listTrials(
	db: Reader,
	filter: TrialFilter,
	place: SortedPlace & { readonly sort: TrialSort },
): Promise<ListedTrial[]> {
	const { key, parameter } = place.sort;
	const page = keyset(place, "trials.id");
	const states = [...new Set(filter.states)].map((state) => enumName(TrialState, state));
	const conditions = [
		...(filter.experimentId === 0 ? [] : ["trials.experiment_id = ?"]),
		...(states.length === 0 ? [] : [`trials.state IN (${states.map(() => "?").join(", ")})`]),
	];
	return db.all<ListedTrial>(
		`SELECT trials.*, ${key} AS sort_key FROM trials WHERE ${[page.where, ...conditions].join(" AND ")}
		ORDER BY ${page.orderBy} LIMIT ?`,
		...(parameter === undefined ? [] : [parameter]),
		...page.parameters,
		...(filter.experimentId === 0 ? [] : [filter.experimentId]),
		...states,
		page.limit,
	);
}
