import type { Reader, Transaction } from "./database.js";

/** Records first to end - 1. */
export type Range = readonly [first: number, end: number];

/**
 * Returns what was left of a trial's goal when a run started, neither done nor failed: ascending, without overlap,
 * and the same for as long as the run lives.
 */
export async function rangesLeft(db: Reader, trialId: number, trialRunId: number, goalEnd: number): Promise<Range[]> {
	const row = await db.get<{ ranges: string }>(
		`SELECT json_group_array(json_array(first_record, end_record)) AS ranges FROM (
			SELECT first_record, end_record FROM done_ranges WHERE trial_id = ?1 AND trial_run_id < ?2
			UNION ALL SELECT record, record + 1 FROM trial_errors WHERE trial_id = ?1 AND trial_run_id < ?2
			ORDER BY first_record
		)`,
		trialId,
		trialRunId,
	);
	const left: Range[] = [];
	let next = 0;
	for (const [first, end] of JSON.parse(row?.ranges ?? "[]") as Range[]) {
		if (first > next) {
			left.push([next, first]);
		}
		next = end;
	}
	if (next < goalEnd) {
		left.push([next, goalEnd]);
	}
	return left;
}

/** Returns a range of `ranges` that is done already, in whole or in part, with the run that did it. */
export async function findDone(
	tx: Transaction,
	trialId: number,
	ranges: readonly Range[],
): Promise<{ first: number; end: number; trialRunId: number } | undefined> {
	// Done ranges do not overlap, so only the last one that starts before the end can reach into a range.
	return tx.get(
		`SELECT asked.value ->> 0 AS first, asked.value ->> 1 AS end, done.trial_run_id AS trialRunId
		FROM json_each(?1) AS asked JOIN done_ranges AS done ON done.trial_id = ?2 AND done.first_record = (
			SELECT max(first_record) FROM done_ranges WHERE trial_id = ?2 AND first_record < asked.value ->> 1
		)
		WHERE done.end_record > asked.value ->> 0 LIMIT 1`,
		JSON.stringify(ranges),
		trialId,
	);
}

/** Records ranges, none of which is done, as done by a run. */
export async function addDone(
	tx: Transaction,
	trialId: number,
	trialRunId: number,
	ranges: readonly Range[],
): Promise<void> {
	await tx.run(
		`INSERT INTO done_ranges (trial_id, first_record, end_record, trial_run_id)
		SELECT ?, value ->> 0, value ->> 1, ? FROM json_each(?)`,
		trialId,
		trialRunId,
		JSON.stringify(ranges),
	);
}

/** Joins the neighbours among a trial's done ranges, all of them of `lastRunId` or older runs. */
export async function compactDoneRanges(tx: Transaction, trialId: number, lastRunId: number): Promise<void> {
	const rows = await tx.all<{ first_record: number; end_record: number }>(
		"SELECT first_record, end_record FROM done_ranges WHERE trial_id = ? ORDER BY first_record",
		trialId,
	);
	const joined = joinNeighbours(rows.map((row): Range => [row.first_record, row.end_record]));
	if (joined.length < rows.length) {
		await tx.run("DELETE FROM done_ranges WHERE trial_id = ?", trialId);
		await addDone(tx, trialId, lastRunId, joined);
	}
}

/** Joins ranges that follow each other. They must be ascending and must not overlap. */
export function joinNeighbours(ranges: readonly Range[]): Range[] {
	const joined: Range[] = [];
	for (const [first, end] of ranges) {
		const last = joined.at(-1);
		if (last !== undefined && last[1] === first) {
			joined[joined.length - 1] = [last[0], end];
		} else {
			joined.push([first, end]);
		}
	}
	return joined;
}
