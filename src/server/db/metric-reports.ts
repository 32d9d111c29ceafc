import { isDeepStrictEqual } from "node:util";
import { MillraceError } from "../../errors.js";
import type { ReducedMetrics } from "../../gen/millrace/v1/rendezvous_pb.js";
import type { Transaction } from "./database.js";
import { archiveRolledBack } from "./metric-archive.js";
import { foldSummary, profilingGroups } from "./trial-summary.js";

/** The metrics of a report, parsed. */
export type Metrics = Readonly<Record<string, unknown>>;

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
}

interface Row {
	id: number | undefined;
	readonly report: AdmittedReport;
	metricsJson: string;
	metrics: Metrics;
	batchMetricsJson: string;
	changed: boolean;
}

/**
 * Stores reports: those of one key merge, in their order, the rest is inserted; plain ones archive what a
 * trial that went back in time will report again; the summaries follow. Returns for each what is wrong
 * with it, or undefined.
 */
export async function storeReports(
	tx: Transaction,
	reports: readonly AdmittedReport[],
): Promise<(MillraceError | undefined)[]> {
	await archiveOlder(tx, reports);
	const known = await findRows(tx, reports);
	const inserted: Row[] = [];
	const merged = new Set<Row>();
	const stored: AdmittedReport[] = [];
	const failures = reports.map((report) => {
		const key = keyOf(report);
		const row = key === undefined ? undefined : known.get(key);
		if (row === undefined) {
			const { metricsJson, metrics, batchMetricsJson } = report;
			const fresh: Row = { id: undefined, report, metricsJson, metrics, batchMetricsJson, changed: false };
			inserted.push(fresh);
			if (key !== undefined) {
				known.set(key, fresh);
			}
		} else {
			const conflict = merge(row, report);
			if (conflict !== undefined) {
				return conflict;
			}
			if (row.id !== undefined && row.changed) {
				merged.add(row);
			}
		}
		stored.push(report);
		return undefined;
	});
	await insertRows(tx, inserted);
	await updateRows(tx, [...merged]);
	await summarize(tx, stored);
	return failures;
}

/** Writes what the reducers of a finished trial computed, for the whole trial. */
export async function insertResults(
	tx: Transaction,
	run: { trialId: number; trialRunId: number; stepsCompleted: number },
	results: readonly ReducedMetrics[],
): Promise<void> {
	const groups = new Map<string, Metrics>();
	for (const { group, metricsJson } of results) {
		groups.set(group, { ...groups.get(group), ...(JSON.parse(metricsJson) as Metrics) });
	}
	const rows = [...groups].map(([group, metrics]) => [group, JSON.stringify(metrics)]);
	await tx.run(
		`INSERT INTO metric_reports
			(trial_id, trial_run_id, rank, part, commit_number, origin, group_name, steps_completed, end_time, metrics, batch_metrics)
		SELECT ?, ?, -1, -1, 0, 2, value ->> 0, ?, ?, value ->> 1, '' FROM json_each(?)`,
		run.trialId,
		run.trialRunId,
		run.stepsCompleted,
		tx.now,
		JSON.stringify(rows),
	);
	await foldSummary(tx, run.trialId, new Map([...groups].map(([group, metrics]) => [group, [metrics]])));
}

/** Returns the key within which reports merge; none for a report without steps, which never merges. */
function keyOf(report: AdmittedReport): string | undefined {
	return report.stepsCompleted === undefined ? undefined : JSON.stringify(keyColumns(report));
}

function keyColumns(report: AdmittedReport): (string | number | undefined)[] {
	const { trialId, trialRunId, rank, part, commitNumber, group, stepsCompleted } = report;
	return [trialId, group, stepsCompleted, trialRunId, rank, part, commitNumber, originOf(report)];
}

function originOf(report: AdmittedReport): number {
	return report.commitNumber > 0 ? 1 : 0;
}

/** Archives what plain reports roll back. */
async function archiveOlder(tx: Transaction, reports: readonly AdmittedReport[]): Promise<void> {
	const lowest = new Map<number, { trialRunId: number; steps: Map<string, number> }>();
	for (const report of reports) {
		if (originOf(report) === 0 && report.stepsCompleted !== undefined) {
			const trial = lowest.get(report.trialId) ?? { trialRunId: report.trialRunId, steps: new Map<string, number>() };
			lowest.set(report.trialId, trial);
			const steps = trial.steps.get(report.group) ?? Number.POSITIVE_INFINITY;
			trial.steps.set(report.group, Math.min(steps, report.stepsCompleted));
		}
	}
	for (const [trialId, { trialRunId, steps }] of lowest) {
		await archiveRolledBack(tx, trialId, trialRunId, steps);
	}
}

async function findRows(tx: Transaction, reports: readonly AdmittedReport[]): Promise<Map<string, Row>> {
	const byKey = new Map<string, AdmittedReport>();
	for (const report of reports) {
		const key = keyOf(report);
		if (key !== undefined) {
			byKey.set(key, report);
		}
	}
	const rows = await tx.all<{ key: string; id: number; metrics: string; batch_metrics: string }>(
		`SELECT asked.value AS key, report.id, metrics, batch_metrics FROM json_each(?) AS asked JOIN metric_reports AS report ON
			trial_id = asked.value ->> 0 AND group_name = asked.value ->> 1 AND steps_completed = asked.value ->> 2
			AND trial_run_id = asked.value ->> 3 AND rank = asked.value ->> 4 AND part = asked.value ->> 5
			AND commit_number = asked.value ->> 6 AND origin = asked.value ->> 7 AND archived = 0`,
		`[${[...byKey.keys()].join(",")}]`,
	);
	return new Map(
		rows.map((row) => {
			// SQLite writes JSON as we do, but only our own writing is the key.
			const key = JSON.stringify(JSON.parse(row.key));
			const report = byKey.get(key) as AdmittedReport;
			return [
				key,
				{
					id: row.id,
					report,
					metricsJson: row.metrics,
					metrics: JSON.parse(row.metrics) as Metrics,
					batchMetricsJson: row.batch_metrics,
					changed: false,
				},
			];
		}),
	);
}

function merge(row: Row, report: AdmittedReport): MillraceError | undefined {
	for (const [name, value] of Object.entries(report.metrics)) {
		if (Object.hasOwn(row.metrics, name) && !isDeepStrictEqual(row.metrics[name], value)) {
			return new MillraceError(
				"already_exists",
				`overwriting existing metric keys is not supported, conflicting key: ${name} (${placeOf(report)})`,
			);
		}
	}
	if (row.batchMetricsJson !== "" && report.batchMetricsJson !== "") {
		return new MillraceError("already_exists", `overwriting batch metrics is not supported (${placeOf(report)})`);
	}
	row.metrics = { ...row.metrics, ...report.metrics };
	row.metricsJson = JSON.stringify(row.metrics);
	row.batchMetricsJson ||= report.batchMetricsJson;
	row.changed = true;
	return undefined;
}

function placeOf({ group, stepsCompleted }: AdmittedReport): string {
	return `group ${group}, step ${stepsCompleted}`;
}

async function insertRows(tx: Transaction, rows: readonly Row[]): Promise<void> {
	if (rows.length === 0) {
		return;
	}
	const values = rows.map(({ report, metricsJson, batchMetricsJson }) => [
		report.trialId,
		report.trialRunId,
		report.rank,
		report.part,
		report.commitNumber,
		originOf(report),
		report.group,
		report.stepsCompleted ?? null,
		report.endTime,
		metricsJson,
		batchMetricsJson,
	]);
	await tx.run(
		`INSERT INTO metric_reports
			(trial_id, trial_run_id, rank, part, commit_number, origin, group_name, steps_completed, end_time, metrics, batch_metrics)
		SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
			value ->> 8, value ->> 9, value ->> 10 FROM json_each(?)`,
		JSON.stringify(values),
	);
}

async function updateRows(tx: Transaction, rows: readonly Row[]): Promise<void> {
	for (const { id, metricsJson, batchMetricsJson } of rows) {
		await tx.run(
			"UPDATE metric_reports SET metrics = ?, batch_metrics = ? WHERE id = ?",
			metricsJson,
			batchMetricsJson,
			id as number,
		);
	}
}

async function summarize(tx: Transaction, reports: readonly AdmittedReport[]): Promise<void> {
	const trials = new Map<number, Map<string, Metrics[]>>();
	for (const { trialId, group, metrics } of reports) {
		if (!profilingGroups.has(group)) {
			const groups = trials.get(trialId) ?? new Map<string, Metrics[]>();
			trials.set(trialId, groups);
			const list = groups.get(group);
			if (list === undefined) {
				groups.set(group, [metrics]);
			} else {
				list.push(metrics);
			}
		}
	}
	for (const [trialId, groups] of trials) {
		await foldSummary(tx, trialId, groups);
	}
}
