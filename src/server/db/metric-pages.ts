import type { Database } from "./database.js";
import { lastNumber } from "./metric-clock.js";
import { bySize, type ReportColumns, type ReportMessage, reportColumns, toReport } from "./metric-messages.js";
import type { MetricSubject } from "./metric-sources.js";

/** The most rows of one message. */
const pageSize = 500;

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
	db: Database,
	subject: MetricSubject,
	group: string,
	from?: MetricPosition,
	asItWas = false,
): AsyncGenerator<MetricPage> {
	const last = from?.[0] ?? (await lastNumber(db));
	const [, fromTrial, ...fromReport] = from ?? [0, 0, ...beforeAll];
	for (const trialId of [...new Set(subject.trialIds)].sort((a, b) => a - b)) {
		if (trialId < fromTrial) {
			continue;
		}
		let after: readonly [trialRunId: number, step: number, id: number] = trialId === fromTrial ? fromReport : beforeAll;
		for (;;) {
			const row = await db.get<{ page: string }>(
				`SELECT json_group_array(${reportColumns}) AS page FROM (
					SELECT * FROM metric_reports
					WHERE trial_id = ?1 AND archived = 0 AND (trial_run_id, step, id) > (?2, ?3, ?4) AND id <= ?5
					AND (?6 = '' OR group_name = ?6) AND (?7 = 0 OR revision <= ?5) ${subject.condition}
					ORDER BY trial_run_id, step, id LIMIT ${pageSize}
				)`,
				trialId,
				...after,
				last,
				group,
				asItWas,
				...subject.parameters,
			);
			const page = JSON.parse(row?.page ?? "[]") as ReportColumns[];
			const end = page.at(-1);
			if (end === undefined) {
				break;
			}
			for (const rows of bySize(page)) {
				const [id, , trialRunId, step] = rows.at(-1) as ReportColumns;
				yield { reports: rows.map(toReport), position: [last, trialId, trialRunId, step, id] };
			}
			if (page.length < pageSize) {
				break;
			}
			after = [end[2], end[3], end[0]];
		}
	}
}

/** The place before the first report of a trial. */
const beforeAll = [0, -2, 0] as const;
