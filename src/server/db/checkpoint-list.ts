import { MillraceError } from "../../errors.js";
import { CheckpointSortBy, CheckpointState } from "../../gen/millrace/v1/checkpoint_pb.js";
import { type CheckpointRow, getCheckpointRows, metricsAtCheckpoint } from "./checkpoints.js";
import type { Reader, SqlValue } from "./database.js";
import { enumName } from "./enum-name.js";
import { keyset, type SortedPlace, type SortPosition } from "./sorted-page.js";

/** Which checkpoints to list. */
export interface CheckpointFilter {
	/** 0 for any. */
	readonly trialId: number;
	/** 0 for any. */
	readonly experimentId: number;
	/** None for any. */
	readonly states: readonly CheckpointState[];
}

/** What to sort checkpoints by. */
export interface CheckpointOrder {
	readonly sortBy: CheckpointSortBy;
	/** The metric of the group "validation" to sort by instead; empty for none. */
	readonly metric: string;
}

/** A checkpoint of a list, and its place in it. */
export interface ListedCheckpoint {
	readonly row: CheckpointRow;
	readonly position: SortPosition;
}

/**
 * Tells whether the smallest searcher metric is the best one for a trial or an experiment; true for neither.
 *
 * Throws `not_found` if one does not exist.
 */
export async function isSmallerBetter(db: Reader, { trialId, experimentId }: CheckpointFilter): Promise<boolean> {
	const column = "config ->> '$.searcher.smaller_is_better' AS smaller";
	let row: { smaller: unknown } | undefined;
	if (experimentId > 0) {
		row = await db.get(`SELECT ${column} FROM experiments WHERE id = ?`, experimentId);
		if (row === undefined) {
			throw new MillraceError("not_found", `experiment ${experimentId} not found`);
		}
	}
	if (trialId > 0) {
		const joined = "trials JOIN experiments ON experiments.id = experiment_id";
		row = await db.get(`SELECT ${column} FROM ${joined} WHERE trials.id = ?`, trialId);
		if (row === undefined) {
			throw new MillraceError("not_found", `trial ${trialId} not found`);
		}
	}
	return row?.smaller !== 0;
}

/** Returns the checkpoints of a page, one more than it has. The key of the place's sort is `key`. */
export async function listCheckpoints(
	db: Reader,
	filter: CheckpointFilter,
	order: CheckpointOrder,
	place: SortedPlace,
): Promise<ListedCheckpoint[]> {
	const { value, parameters: named = [], mayBeMissing = false } = sortValueOf(order);
	const conditions: [condition: string, parameter: SqlValue][] = [];
	if (filter.trialId > 0) {
		conditions.push(["trial_id = ?", filter.trialId]);
	}
	if (filter.experimentId > 0) {
		conditions.push(["trial_id IN (SELECT id FROM trials WHERE experiment_id = ?)", filter.experimentId]);
	}
	if (filter.states.length > 0) {
		const states = filter.states.map((state) => enumName(CheckpointState, state));
		conditions.push(["state IN (SELECT value FROM json_each(?))", JSON.stringify(states)]);
	}
	const filtered = conditions.length === 0 ? "" : `WHERE ${conditions.map(([text]) => text).join(" AND ")}`;
	// What has no value comes last in both directions, the newest of it first.
	const { descending } = place.sort;
	const key = mayBeMissing ? `ifnull(value, ${descending ? -beyond : beyond})` : "value";
	const tie = mayBeMissing && !descending ? "iif(value IS NULL, -id, id)" : "id";
	const { where, parameters, orderBy, limit } = keyset(place, "tie");
	const found = await db.all<{ id: number; key: string | number; tie: number }>(
		`SELECT id, key, tie FROM (
			SELECT id, ${key} AS key, ${tie} AS tie FROM (SELECT id, ${value} AS value FROM checkpoints ${filtered})
		) WHERE ${where} ORDER BY ${orderBy} LIMIT ?`,
		...named,
		...conditions.map(([, parameter]) => parameter),
		...parameters,
		limit,
	);
	const rows = await getCheckpointRows(
		db,
		found.map(({ id }) => id),
	);
	return found.flatMap(({ id, key, tie }) => {
		const row = rows.get(id);
		return row === undefined ? [] : [{ row, position: [key, tie] }];
	});
}

/** Beyond all values; JSON, which page tokens are, has no infinity. */
const beyond = 1.7976931348623157e308;
const largest = 1.7976931348623155e308;

interface SortValue {
	/** The expression: a text or a number. */
	readonly value: string;
	readonly parameters?: readonly SqlValue[];
	/** Whether it may be NULL. */
	readonly mayBeMissing?: boolean;
}

function sortValueOf({ sortBy, metric }: CheckpointOrder): SortValue {
	if (metric !== "") {
		return { value: metricValue("?"), parameters: [metric], mayBeMissing: true };
	}
	switch (sortBy) {
		case CheckpointSortBy.UUID:
			return { value: "uuid" };
		case CheckpointSortBy.TRIAL_ID:
			return { value: "trial_id" };
		case CheckpointSortBy.BATCH_NUMBER:
			return { value: "steps_completed", mayBeMissing: true };
		case CheckpointSortBy.STATE:
			return { value: stateNumber };
		case CheckpointSortBy.SEARCHER_METRIC:
			return { value: metricValue(searcherMetric), mayBeMissing: true };
		default:
			return { value: "report_time" };
	}
}

const searcherMetric = `(
	SELECT config ->> '$.searcher.metric' FROM trials JOIN experiments ON experiments.id = experiment_id
	WHERE trials.id = checkpoints.trial_id
)`;

/** The value of a validation metric, with infinities as the largest numbers; NULL for NaN and what is no number. */
const metricValue = (name: string) => `(
	SELECT CASE
		WHEN type IN ('integer', 'real') THEN max(min(CAST(value AS REAL), ${largest}), -${largest})
		WHEN type = 'text' AND value = 'Infinity' THEN ${largest}
		WHEN type = 'text' AND value = '-Infinity' THEN -${largest}
	END FROM json_each(${metricsAtCheckpoint("validation")}) WHERE key = ${name}
)`;

const stateNumber = `CASE state ${Object.entries(CheckpointState)
	.filter(([, number]) => typeof number === "number")
	.map(([name, number]) => `WHEN '${name}' THEN ${number}`)
	.join(" ")} END`;
