import { isDeepStrictEqual } from "node:util";
import { MillraceError } from "../../errors.js";
import type { ReducedMetrics } from "../../gen/millrace/v1/rendezvous_pb.js";
import { writeJson } from "../../write-json.js";
import type { Metrics, SummaryRow } from "../summary-metrics.js";
import type { Transaction } from "./database.js";
import { archiveRolledBack } from "./metric-archive.js";
import { takeNumbers } from "./metric-clock.js";
import {
	type AdmittedReport,
	findRows,
	insertRows,
	keyOf,
	mostSteps,
	type NewRow,
	originOf,
	raiseSteps,
	updateRows,
} from "./metric-rows.js";
import { linkReported } from "./metric-sources.js";
import { foldSummary, profilingGroups } from "./trial-summary.js";

/** A row that reports of this call belong to. */
interface Row extends SummaryRow, NewRow {
	/** 0 until it is known. */
	id: number;
	/** The report that it is made of, or another one of its key. */
	readonly report: AdmittedReport;
	/** The number of the last change. */
	revision: number;
	metrics: Metrics;
	added: Metrics;
	/** Empty where the metrics have to be written anew. */
	metricsJson: string;
	batchMetricsJson: string;
}

/**
 * Stores reports: those of one key merge, in their order, the rest is inserted; plain ones archive what a
 * trial that went back in time will report again; links and summaries follow. Returns for each what is wrong
 * with it, or undefined.
 */
export async function storeReports(
	tx: Transaction,
	reports: readonly AdmittedReport[],
): Promise<(MillraceError | undefined)[]> {
	await archiveOlder(tx, reports);
	const keys = reports.map(keyOf);
	const rows = await storedRows(tx, reports, keys);
	const fresh: Row[] = [];
	const changed = new Set<Row>();
	const accepted: AdmittedReport[] = [];
	const failures = reports.map((report, i) => {
		const key = keys[i];
		const row = key === undefined ? undefined : rows.get(key);
		if (row === undefined) {
			const made = newRow(report);
			fresh.push(made);
			if (key !== undefined) {
				rows.set(key, made);
			}
		} else {
			const conflict = conflictOf(row, report);
			if (conflict !== undefined) {
				return conflict;
			}
			if (merge(row, report) && row.id !== 0) {
				changed.add(row);
			}
		}
		accepted.push(report);
		return undefined;
	});
	await write(tx, fresh, [...changed]);
	await raiseSteps(tx, accepted);
	await linkReported(tx, accepted);
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
	const first = await takeNumbers(tx, groups.size);
	const rows = [...groups].map(([group, metrics], i) => ({ group, metrics, id: first + i }));
	await tx.run(
		`INSERT INTO metric_reports
			(id, revision, trial_id, trial_run_id, rank, part, commit_number, origin, group_name, steps_completed, end_time,
				metrics, batch_metrics)
		SELECT value ->> 0, value ->> 0, ?, ?, -1, -1, 0, 2, value ->> 1, ?, ?, value ->> 2, '' FROM json_each(?)`,
		run.trialId,
		run.trialRunId,
		run.stepsCompleted,
		tx.now,
		JSON.stringify(rows.map(({ id, group, metrics }) => [id, group, writeJson(metrics)])),
	);
	const summaryRows = rows.map(({ group, metrics, id }): [string, SummaryRow[]] => [
		group,
		[{ id, endTime: tx.now, metrics, added: metrics, isSourced: false }],
	]);
	await raiseSteps(tx, [run]);
	await foldSummary(tx, run.trialId, new Map(summaryRows));
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

/** Returns the rows that are stored already of the keys of reports. */
async function storedRows(
	tx: Transaction,
	reports: readonly AdmittedReport[],
	keys: readonly (string | undefined)[],
): Promise<Map<string, Row>> {
	const highest = await mostSteps(tx, [...new Set(reports.map(({ trialId }) => trialId))]);
	const byKey = new Map<string, AdmittedReport>();
	reports.forEach((report, i) => {
		const key = keys[i];
		// Mostly there are more steps than in all reports before, and nothing to look for.
		if (key !== undefined && (report.stepsCompleted ?? 0) <= (highest.get(report.trialId) ?? 0)) {
			byKey.set(key, report);
		}
	});
	const rows = new Map<string, Row>();
	for (const [key, { id, endTime, metricsJson, batchMetricsJson }] of await findRows(tx, [...byKey.keys()])) {
		const metrics = JSON.parse(metricsJson) as Metrics;
		const row = newRow(byKey.get(key) as AdmittedReport);
		rows.set(key, { ...row, id, endTime, metrics, added: {}, metricsJson, batchMetricsJson });
	}
	return rows;
}

function newRow(report: AdmittedReport): Row {
	const { endTime, metrics, metricsJson, batchMetricsJson } = report;
	const isSourced = report.source.checkpointId !== 0;
	return { id: 0, revision: 0, report, endTime, metrics, added: metrics, metricsJson, batchMetricsJson, isSourced };
}

function conflictOf(row: Row, report: AdmittedReport): MillraceError | undefined {
	const place = `(group ${report.group}, step ${report.stepsCompleted})`;
	for (const [name, value] of Object.entries(report.metrics)) {
		if (Object.hasOwn(row.metrics, name) && !isSame(row.metrics[name], value)) {
			return new MillraceError(
				"already_exists",
				`overwriting existing metric keys is not supported, conflicting key: ${name} ${place}`,
			);
		}
	}
	return row.batchMetricsJson !== "" && report.batchMetricsJson !== ""
		? new MillraceError("already_exists", `overwriting batch metrics is not supported ${place}`)
		: undefined;
}

/** 0 and -0 are the same: older programs kept what was merged without the sign. */
function isSame(a: unknown, b: unknown): boolean {
	return a === b || isDeepStrictEqual(a, b);
}

/** Adds a report to a row. Returns whether that changes the row. */
function merge(row: Row, report: AdmittedReport): boolean {
	const added = Object.entries(report.metrics).filter(([name]) => !Object.hasOwn(row.metrics, name));
	if (added.length > 0) {
		if (row.metricsJson !== "") {
			// Of its own, so that it may be changed; and without a prototype, so that any name is a key.
			row.metrics = withoutPrototype(row.metrics);
			row.added = withoutPrototype(row.added);
			row.metricsJson = "";
		}
		for (const [name, value] of added) {
			(row.metrics as Record<string, unknown>)[name] = value;
			(row.added as Record<string, unknown>)[name] = value;
		}
	}
	row.batchMetricsJson ||= report.batchMetricsJson;
	return added.length > 0 || report.batchMetricsJson !== "";
}

function withoutPrototype(metrics: Metrics): Metrics {
	return Object.assign(Object.create(null), metrics) as Metrics;
}

async function write(tx: Transaction, fresh: readonly Row[], changed: readonly Row[]): Promise<void> {
	const rows = [...fresh, ...changed];
	if (rows.length === 0) {
		return;
	}
	let number = await takeNumbers(tx, rows.length);
	for (const row of rows) {
		row.id ||= number;
		row.revision = number++;
		row.metricsJson ||= writeJson(row.metrics);
	}
	await insertRows(tx, fresh);
	await updateRows(tx, changed);
	await summarize(tx, rows);
}

async function summarize(tx: Transaction, rows: readonly Row[]): Promise<void> {
	const trials = new Map<number, Map<string, SummaryRow[]>>();
	for (const row of rows) {
		const { trialId, group } = row.report;
		if (!profilingGroups.has(group)) {
			const groups = trials.get(trialId) ?? new Map<string, SummaryRow[]>();
			trials.set(trialId, groups);
			const list = groups.get(group);
			if (list === undefined) {
				groups.set(group, [row]);
			} else {
				list.push(row);
			}
		}
	}
	for (const [trialId, groups] of trials) {
		await foldSummary(tx, trialId, groups);
	}
}
