import type { Reader, Transaction } from "./database.js";
import { joinNeighbours, type Range } from "./done-ranges.js";

/** Records that the runs after this one process each as a batch of its own. */
export async function addAlone(
	tx: Transaction,
	trialId: number,
	trialRunId: number,
	ranges: readonly Range[],
): Promise<void> {
	const records = ranges.flatMap(([first, end]) => Array.from({ length: end - first }, (_, i) => first + i));
	if (records.length > 0) {
		await tx.run(
			"INSERT OR IGNORE INTO alone_records (trial_id, record, trial_run_id) SELECT ?, value, ? FROM json_each(?)",
			trialId,
			trialRunId,
			JSON.stringify(records),
		);
	}
}

/** Records the same of a trial's dead letters: they have been alone, and may be neighbours. */
export async function addFailedAlone(tx: Transaction, trialId: number): Promise<void> {
	await tx.run(
		`INSERT OR IGNORE INTO alone_records (trial_id, record, trial_run_id)
		SELECT trial_id, record, trial_run_id FROM trial_errors WHERE trial_id = ?`,
		trialId,
	);
}

/**
 * Returns those records of `left` that are batches of their own in a run: ascending, without overlap, and the same
 * for as long as the run lives.
 */
export async function aloneIn(
	db: Reader,
	trialId: number,
	trialRunId: number,
	left: readonly Range[],
): Promise<Range[]> {
	const row = await db.get<{ records: string }>(
		`SELECT json_group_array(record) AS records FROM (
			SELECT record FROM alone_records WHERE trial_id = ? AND trial_run_id < ? ORDER BY record
		)`,
		trialId,
		trialRunId,
	);
	const alone: Range[] = [];
	let i = 0;
	for (const record of JSON.parse(row?.records ?? "[]") as number[]) {
		while ((left[i]?.[1] ?? Number.POSITIVE_INFINITY) <= record) {
			i++;
		}
		if ((left[i]?.[0] ?? Number.POSITIVE_INFINITY) <= record) {
			alone.push([record, record + 1]);
		}
	}
	return joinNeighbours(alone);
}
