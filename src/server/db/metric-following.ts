import type { Database } from "./database.js";
import { lastNumber } from "./metric-clock.js";
import { bySize, type ReportColumns, reportColumns, toReport } from "./metric-messages.js";
import { type MetricPage, type MetricPosition, metricPages } from "./metric-pages.js";
import { trialSubject } from "./metric-sources.js";

/** The most rows that are looked at together. */
const pageSize = 500;

/**
 * Reads the reports of trials as `metricPages`, and goes on with those that arrive, until all the trials have ended or
 * the signal is aborted. One that another merged into arrives again, whole. Pages without reports tell only how far
 * the reading has come.
 *
 * Throws `unavailable` when the server stops.
 */
export async function* followMetrics(
	db: Database,
	trialIds: readonly number[],
	group: string,
	from: MetricPosition | undefined,
	signal: AbortSignal,
): AsyncGenerator<MetricPage> {
	const start: MetricPosition = from ?? [await lastNumber(db), 0, 0, 0, 0];
	let [last] = start;
	if (from === undefined || from[1] !== 0) {
		yield* metricPages(db, trialSubject(trialIds), group, start, true);
	}
	// The first report may be long in coming, and a caller without a position would have to start again.
	yield { reports: [], position: arrivedAt(last) };
	while (!signal.aborted) {
		const { edition } = db.news;
		const isOver = await haveEnded(db, trialIds);
		for await (const page of arrivals(db, trialIds, group, last)) {
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
	db: Database,
	trialIds: readonly number[],
	group: string,
	after: number,
): AsyncGenerator<MetricPage> {
	for (let last = after; ; ) {
		const row = await db.get<{ page: string }>(
			`SELECT json_group_array(${reportColumns}) AS page FROM (
				SELECT * FROM metric_reports WHERE id IN (
					SELECT report.id FROM json_each(?) AS asked
					CROSS JOIN metric_reports AS report INDEXED BY metric_reports_by_revision
					ON report.trial_id = asked.value AND report.archived = 0 AND report.revision > ?
					ORDER BY report.revision LIMIT ${pageSize}
				) ORDER BY revision
			)`,
			JSON.stringify([...new Set(trialIds)]),
			last,
		);
		const page = JSON.parse(row?.page ?? "[]") as ReportColumns[];
		for (const rows of bySize(page)) {
			last = (rows.at(-1) as ReportColumns)[12];
			const reports = rows.filter((columns) => group === "" || columns[4] === group).map(toReport);
			yield { reports, position: arrivedAt(last) };
		}
		if (page.length < pageSize) {
			return;
		}
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
