import type { Database, Reader } from "./database.js";
import { lastNumber } from "./metric-clock.js";
import { type ReportColumns, reportColumns, toReport } from "./metric-messages.js";
import { type MetricPage, type MetricPosition, metricPages } from "./metric-pages.js";
import { trialSubject } from "./metric-sources.js";
import { pageBytes, pageRows, rowsAhead } from "./page-bytes.js";

/**
 * Reads the reports of trials as `metricPages`, and goes on with those that arrive, until all the trials have ended or
 * the signal is aborted. One that another merged into arrives again, whole. Pages without reports tell only how far
 * the reading has come.
 *
 * Throws `unavailable` when the server stops.
 *
 * @param reader Reads the reports.
 */
export async function* followMetrics(
	db: Database,
	reader: Reader,
	trialIds: readonly number[],
	group: string,
	from: MetricPosition | undefined,
	signal: AbortSignal,
): AsyncGenerator<MetricPage> {
	const start: MetricPosition = from ?? [await lastNumber(db), 0, 0, 0, 0];
	let [last] = start;
	if (from === undefined || from[1] !== 0) {
		yield* metricPages(reader, trialSubject(trialIds), group, start, true);
	}
	// The first report may be long in coming, and a caller without a position would have to start again.
	yield { reports: [], position: arrivedAt(last) };
	while (!signal.aborted) {
		const { edition } = db.news;
		const isOver = await haveEnded(db, trialIds);
		for await (const page of arrivals(reader, trialIds, group, last)) {
			[last] = page.position;
			yield page;
		}
		if (isOver) {
			return;
		}
		await db.news.after(edition, signal);
	}
}

function arrivedAt(last: number): MetricPosition {
	return [last, 0, 0, 0, 0];
}

/** Reads what has changed after a number, in the order of the changes. */
async function* arrivals(
	db: Reader,
	trialIds: readonly number[],
	group: string,
	after: number,
): AsyncGenerator<MetricPage> {
	let limit = pageRows;
	for (let last = after; ; ) {
		const row = await db.get<{ page: string; ahead: number }>(
			`WITH ahead AS MATERIALIZED (
				SELECT id, sum(bytes) OVER place AS total, row_number() OVER place AS place FROM (
					SELECT report.id, revision, octet_length(metrics) + octet_length(batch_metrics) AS bytes
					FROM json_each(?) AS asked
					CROSS JOIN metric_reports AS report INDEXED BY metric_reports_by_revision
					ON report.trial_id = asked.value AND report.archived = 0 AND report.revision > ?
					ORDER BY report.revision LIMIT ?
				) WINDOW place AS (ORDER BY revision)
			)
			SELECT json_group_array(${reportColumns}) AS page, (SELECT count(*) FROM ahead) AS ahead FROM (
				SELECT metric_reports.* FROM ahead JOIN metric_reports USING (id)
				WHERE total <= ${pageBytes} OR place = 1 ORDER BY place
			)`,
			JSON.stringify([...new Set(trialIds)]),
			last,
			limit,
		);
		const { page, ahead } = row ?? { page: "[]", ahead: 0 };
		const rows = JSON.parse(page) as ReportColumns[];
		const end = rows.at(-1);
		if (end === undefined) {
			return;
		}
		last = end[12];
		const reports = rows.filter((columns) => group === "" || columns[4] === group).map(toReport);
		yield { reports, position: arrivedAt(last) };
		if (rows.length === ahead && ahead < limit) {
			return;
		}
		limit = rowsAhead(ahead, rows.length);
	}
}

/** Tells whether all the trials are in a state that is the end of their work. */
async function haveEnded(db: Database, trialIds: readonly number[]): Promise<boolean> {
	const row = await db.get(
		`SELECT 1 FROM json_each(?) AS asked CROSS JOIN trials ON trials.id = asked.value
		WHERE state NOT IN ('COMPLETED', 'CANCELED', 'ERROR') LIMIT 1`,
		JSON.stringify(trialIds),
	);
	return row === undefined;
}
