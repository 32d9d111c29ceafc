import type { Metrics } from "../summary-metrics.js";
import type { Transaction } from "./database.js";
import type { ReportSource } from "./metric-sources.js";

/** A report whose trial, run and member may write. */
export interface AdmittedReport {
	readonly trialId: number;
	readonly trialRunId: number;
	/** -1 where the report speaks for the whole trial. */
	readonly rank: number;
	/** -1 for a plain report. */
	readonly part: number;
	/** 0 for a plain report. */
	readonly commitNumber: number;
	readonly group: string;
	readonly stepsCompleted: number | undefined;
	/** In milliseconds since 1970. */
	readonly endTime: number;
	readonly metricsJson: string;
	readonly metrics: Metrics;
	/** Empty if there are none. */
	readonly batchMetricsJson: string;
	/** What the metrics are about. */
	readonly source: ReportSource;
}

/** A row that is stored already, of the key of a report. */
export interface StoredRow {
	readonly id: number;
	/** In milliseconds since 1970. */
	readonly endTime: number;
	readonly metricsJson: string;
	readonly batchMetricsJson: string;
}

/** Where a report comes from: 0 for a plain one, 1 for batch processing, which a commit confirms. */
export function originOf(report: Pick<AdmittedReport, "commitNumber">): number {
	return report.commitNumber > 0 ? 1 : 0;
}

/** Returns the key within which reports merge; none for a report without steps, which never merges. */
export function keyOf(report: AdmittedReport): string | undefined {
	const { trialId, trialRunId, rank, part, commitNumber, group, stepsCompleted, source } = report;
	return stepsCompleted === undefined
		? undefined
		: JSON.stringify([
				...[trialId, group, stepsCompleted, trialRunId, rank, part, commitNumber, originOf(report)],
				...[source.checkpointId, source.modelId, source.version],
			]);
}

/** Finds the rows of keys. */
export async function findRows(tx: Transaction, keys: readonly string[]): Promise<Map<string, StoredRow>> {
	if (keys.length === 0) {
		return new Map();
	}
	const rows = await tx.all<{ i: number; id: number; end_time: number; metrics: string; batch_metrics: string }>(
		`SELECT asked.key AS i, report.id, end_time, metrics, batch_metrics
		FROM json_each(?) AS asked CROSS JOIN metric_reports AS report ON
			trial_id = asked.value ->> 0 AND group_name = asked.value ->> 1 AND steps_completed = asked.value ->> 2
			AND trial_run_id = asked.value ->> 3 AND rank = asked.value ->> 4 AND part = asked.value ->> 5
			AND commit_number = asked.value ->> 6 AND origin = asked.value ->> 7 AND checkpoint_id = asked.value ->> 8
			AND model_id = asked.value ->> 9 AND version = asked.value ->> 10 AND archived = 0`,
		`[${keys.join(",")}]`,
	);
	return new Map(
		rows.map(({ i, id, end_time, metrics, batch_metrics }) => [
			keys[i] as string,
			{ id, endTime: end_time, metricsJson: metrics, batchMetricsJson: batch_metrics },
		]),
	);
}

/** A row that is new. */
export interface NewRow {
	readonly id: number;
	readonly report: AdmittedReport;
	readonly metricsJson: string;
	readonly batchMetricsJson: string;
}

/** Inserts rows of the given ids. */
export async function insertRows(tx: Transaction, rows: readonly NewRow[]): Promise<void> {
	const isSourced = ({ report }: NewRow) => report.source.checkpointId !== 0;
	// The source's columns are no small part of the work, and most reports name none.
	await insertAll(
		tx,
		rows.filter((row) => !isSourced(row)),
		"",
		"",
		() => [],
	);
	const numbers = ({ report: { source } }: NewRow) => [source.checkpointId, source.modelId, source.version];
	const columns = ", checkpoint_id, model_id, version";
	await insertAll(tx, rows.filter(isSourced), columns, ", value ->> 12, value ->> 13, value ->> 14", numbers);
}

async function insertAll(
	tx: Transaction,
	rows: readonly NewRow[],
	columns: string,
	values: string,
	valuesOf: (row: NewRow) => readonly number[],
): Promise<void> {
	if (rows.length === 0) {
		return;
	}
	const table = rows.map((row) => [
		row.id,
		row.report.trialId,
		row.report.trialRunId,
		row.report.rank,
		row.report.part,
		row.report.commitNumber,
		originOf(row.report),
		row.report.group,
		row.report.stepsCompleted ?? null,
		row.report.endTime,
		row.metricsJson,
		row.batchMetricsJson,
		...valuesOf(row),
	]);
	await tx.run(
		`INSERT INTO metric_reports
			(id, revision, trial_id, trial_run_id, rank, part, commit_number, origin, group_name, steps_completed, end_time,
				metrics, batch_metrics${columns})
		SELECT value ->> 0, value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
			value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11${values} FROM json_each(?)`,
		JSON.stringify(table),
	);
}

/** Writes what rows have become. */
export async function updateRows(
	tx: Transaction,
	rows: readonly { id: number; revision: number; metricsJson: string; batchMetricsJson: string }[],
): Promise<void> {
	if (rows.length === 0) {
		return;
	}
	await tx.run(
		`UPDATE metric_reports SET revision = changed.value ->> 1, metrics = changed.value ->> 2,
			batch_metrics = changed.value ->> 3
		FROM json_each(?) AS changed WHERE metric_reports.id = changed.value ->> 0`,
		JSON.stringify(rows.map((row) => [row.id, row.revision, row.metricsJson, row.batchMetricsJson])),
	);
}

/** Returns the most steps that reports of each trial have completed. */
export async function mostSteps(tx: Transaction, trialIds: readonly number[]): Promise<Map<number, number>> {
	const rows = await tx.all<{ id: number; reported_step: number }>(
		"SELECT trials.id, reported_step FROM json_each(?) AS asked CROSS JOIN trials ON trials.id = asked.value",
		JSON.stringify(trialIds),
	);
	return new Map(rows.map((row) => [row.id, row.reported_step]));
}

/** Notes the most steps that reports of trials have completed. */
export async function raiseSteps(
	tx: Transaction,
	reports: readonly Pick<AdmittedReport, "trialId" | "stepsCompleted">[],
): Promise<void> {
	const most = new Map<number, number>();
	for (const { trialId, stepsCompleted = 0 } of reports) {
		most.set(trialId, Math.max(most.get(trialId) ?? 0, stepsCompleted));
	}
	await tx.run(
		`UPDATE trials SET reported_step = asked.value ->> 1 FROM json_each(?) AS asked
		WHERE trials.id = asked.value ->> 0 AND reported_step < asked.value ->> 1`,
		JSON.stringify([...most]),
	);
}
