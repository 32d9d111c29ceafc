import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ReducerPartial, StoredPartialSchema } from "../../gen/millrace/v1/progress_pb.js";
import type { Member } from "../../gen/millrace/v1/trial_pb.js";
import type { Reader, Transaction } from "./database.js";
import { pageBytes, pageRows } from "./page-bytes.js";

/**
 * Records what a worker's reducers gathered: the value of a MetricReducer replaces its part's last one, values of
 * a function reducer are added to those of the same batch.
 */
export async function recordPartials(
	tx: Transaction,
	member: Member,
	part: number,
	partials: readonly ReducerPartial[],
): Promise<void> {
	const rows = partials.flatMap(({ reducer, value }): [string, number, string][] => {
		switch (value.case) {
			case "slotJson":
				return [[reducer, -1, value.value]];
			case "recordValues":
				return value.value.batches.map((batch) => [reducer, Number(batch.firstRecord), batch.valuesJson]);
			default:
				return [];
		}
	});
	if (rows.length > 0) {
		await tx.run(
			`INSERT INTO reducer_partials (trial_id, reducer, first_record, trial_run_id, rank, part, value)
			SELECT ?, value ->> 0, value ->> 1, ?, ?, ?, value ->> 2 FROM json_each(?) WHERE true
			ON CONFLICT DO UPDATE SET value = CASE
				WHEN excluded.first_record < 0 OR json(value) = '[]' THEN excluded.value
				WHEN json(excluded.value) = '[]' THEN value
				ELSE substr(json(value), 1, length(json(value)) - 1) || ',' || substr(json(excluded.value), 2)
			END`,
			member.trialId,
			member.trialRunId,
			member.rank,
			part,
			JSON.stringify(rows),
		);
	}
}

/** Reads the partials of all runs of a trial in pages, ordered by reducer, first record, run, rank and part. */
export async function* partialPages(
	db: Reader,
	trialId: number,
): AsyncGenerator<MessageInitShape<typeof StoredPartialSchema>[]> {
	let after: [string, number, number, number, number] = ["", -2, 0, 0, 0];
	for (;;) {
		const rows = await db.all<{
			reducer: string;
			first_record: number;
			trial_run_id: number;
			rank: number;
			part: number;
			value: string;
		}>(
			// The values are read by key afterwards, so that only those of the page are.
			`WITH ahead AS (
				SELECT *, sum(bytes) OVER place AS total, row_number() OVER place AS place FROM (
					SELECT reducer, first_record, trial_run_id, rank, part, octet_length(reducer) + octet_length(value) AS bytes
					FROM reducer_partials
					WHERE trial_id = ?1 AND (reducer, first_record, trial_run_id, rank, part) > (?2, ?3, ?4, ?5, ?6)
					ORDER BY reducer, first_record, trial_run_id, rank, part LIMIT ${pageRows}
				)
				WINDOW place AS (ORDER BY reducer, first_record, trial_run_id, rank, part)
			)
			SELECT reducer, first_record, trial_run_id, rank, part, value
			FROM ahead JOIN reducer_partials USING (reducer, first_record, trial_run_id, rank, part)
			WHERE trial_id = ?1 AND (total <= ${pageBytes} OR place = 1)
			ORDER BY place`,
			trialId,
			...after,
		);
		const end = rows.at(-1);
		if (end === undefined) {
			return;
		}
		yield rows.map((row) => ({
			reducer: row.reducer,
			trialRunId: row.trial_run_id,
			rank: row.rank,
			part: row.part,
			valueJson: row.value,
			...(row.first_record >= 0 && { firstRecord: BigInt(row.first_record) }),
		}));
		after = [end.reducer, end.first_record, end.trial_run_id, end.rank, end.part];
	}
}
