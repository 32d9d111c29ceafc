import type { Reader } from "./database.js";
import { lastNumber } from "./metric-clock.js";
import { type ReportColumns, type ReportMessage, reportColumns, toReport } from "./metric-messages.js";
import type { MetricSubject } from "./metric-sources.js";
import { pageBytes, pageRows, rowsAhead } from "./page-bytes.js";

/**
 * A place between two reports of a reading: that of the last report that was read, and the number of the last change
 * when the reading began. Where a follower has come to what arrives, `trialId` is 0, and `last` the number of the last
 * change that it has seen.
 */
export type MetricPosition = readonly [last: number, trialId: number, trialRunId: number, step: number, id: number];

/** The next reports of a reading, and the place after them. */
export interface MetricPage {
	readonly reports: readonly ReportMessage[];
	readonly position: MetricPosition;
}

/**
 * Reads the reports of a subject in pages, ordered by trial, run and steps completed; archived ones are left
 * out. What is reported after the start is not part of it. No transaction is held between two pages: a
 * reader kept open would keep the write-ahead log from shrinking. With `from` an earlier reading goes on.
 *
 * @param asItWas Leaves out a report, too, into which another has merged after the start.
 */
export async function* metricPages(
	db: Reader,
	subject: MetricSubject,
	group: string,
	from?: MetricPosition,
	asItWas = false,
): AsyncGenerator<MetricPage> {
	const last = from?.[0] ?? (await lastNumber(db));
	let limit = pageRows;
	const [, fromTrial, ...fromReport] = from ?? [0, 0, ...beforeAll];
	for (const trialId of [...new Set(subject.trialIds)].sort((a, b) => a - b)) {
		if (trialId < fromTrial) {
			continue;
		}
		let after: readonly [trialRunId: number, step: number, id: number] = trialId === fromTrial ? fromReport : beforeAll;
		for (;;) {
			const row = await db.get<{ page: string; ahead: number }>(
				// The reports are read by id afterwards, so that only those of the page are.
				`WITH ahead AS MATERIALIZED (
					SELECT id, sum(bytes) OVER place AS total, row_number() OVER place AS place FROM (
						SELECT id, trial_run_id, step, octet_length(metrics) + octet_length(batch_metrics) AS bytes
						FROM metric_reports
						WHERE trial_id = ?2 AND archived = 0 AND (trial_run_id, step, id) > (?3, ?4, ?5) AND id <= ?6
						AND (?7 = '' OR group_name = ?7) AND (?8 = 0 OR revision <= ?6) ${subject.condition}
						ORDER BY trial_run_id, step, id LIMIT ?1
					) WINDOW place AS (ORDER BY trial_run_id, step, id)
				)
				SELECT json_group_array(${reportColumns}) AS page, (SELECT count(*) FROM ahead) AS ahead FROM (
					SELECT metric_reports.* FROM ahead JOIN metric_reports USING (id)
					WHERE total <= ${pageBytes} OR place = 1 ORDER BY place
				)`,
				limit,
				trialId,
				...after,
				last,
				group,
				asItWas,
				...subject.parameters,
			);
			const { page, ahead } = row ?? { page: "[]", ahead: 0 };
			const rows = JSON.parse(page) as ReportColumns[];
			const end = rows.at(-1);
			if (end === undefined) {
				break;
			}
			const [id, , trialRunId, step] = end;
			yield { reports: rows.map(toReport), position: [last, trialId, trialRunId, step, id] };
			if (rows.length === ahead && ahead < limit) {
				break;
			}
			limit = rowsAhead(ahead, rows.length);
			after = [trialRunId, step, id];
		}
	}
}

/** The place before the first report of a trial. */
const beforeAll = [0, -2, 0] as const;
