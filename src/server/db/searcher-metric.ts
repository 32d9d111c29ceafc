import type { Reader } from "./database.js";
import { toObject } from "./json-column.js";

/** The metric that the trials of an experiment are compared by. */
export interface SearcherMetric {
	/** Null if the configuration names none. */
	readonly name: string | null;
	readonly smallerIsBetter: boolean;
}

/**
 * Reads which metric an experiment's configuration names as `searcher.metric`. Smaller is better unless
 * `searcher.smaller_is_better` is false.
 */
export async function findSearcherMetric(db: Reader, experimentId: number): Promise<SearcherMetric> {
	const row = await db.get<{ config: string }>("SELECT config FROM experiments WHERE id = ?", experimentId);
	const { searcher } = toObject(row?.config ?? "{}");
	const { metric, smaller_is_better: smallerIsBetter } =
		typeof searcher === "object" && searcher !== null && !Array.isArray(searcher) ? searcher : {};
	return { name: typeof metric === "string" ? metric : null, smallerIsBetter: smallerIsBetter !== false };
}

// A quarter of the value, as JSON writes no infinities: so there is room above and below all finite numbers, in the order
// of the values. NaN is the largest.
const infinity = "1.0e308";
const nan = "1.1e308";
const value = `CASE metric.type WHEN 'integer' THEN 0.25 * metric.atom WHEN 'real' THEN 0.25 * metric.atom WHEN 'text' THEN
	CASE metric.atom WHEN 'NaN' THEN ${nan} WHEN 'Infinity' THEN ${infinity} WHEN '-Infinity' THEN -${infinity} END END`;

const values = `SELECT ${value} AS value, reports.id, reports.end_time
	FROM metric_reports AS reports JOIN json_each(reports.metrics) AS metric
	WHERE reports.trial_id = trials.id AND reports.group_name = 'validation' AND reports.archived = 0 AND metric.key = ?1`;

/**
 * Writes the expression for the best value of a metric in a trial's validation reports, as a number that sorts as the
 * values do. NaN is worse than all others, whichever is better. The parameter ?1 is the metric's name.
 */
export function bestValidation(smallerIsBetter: boolean, descending: boolean): string {
	const best = smallerIsBetter ? "min(value)" : `ifnull(max(value) FILTER (WHERE value < ${nan}), max(value))`;
	return orLast(`(SELECT ${best} FROM (${values}))`, descending);
}

/** Writes the expression for the latest value, as `bestValidation`. */
export function latestValidation(descending: boolean): string {
	const newest = `SELECT value FROM (${values}) WHERE value IS NOT NULL ORDER BY end_time DESC, id DESC LIMIT 1`;
	return orLast(`(${newest})`, descending);
}

/** What has no value comes last in either direction. */
function orLast(expression: string, descending: boolean): string {
	return `ifnull(${expression}, ${descending ? "-" : ""}1.2e308)`;
}
