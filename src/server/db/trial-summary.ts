import { isMillraceError } from "../../errors.js";
import type { Trial } from "../../gen/millrace/v1/trial_pb.js";
import {
	foldMetrics,
	type GroupSummary,
	parseSummary,
	type Summary,
	setLast,
	writeSummary,
} from "../summary-metrics.js";
import type { Database, Reader, Transaction } from "./database.js";
import { getTrial, getTrialRow, type TrialRow, toTrial } from "./trials.js";

/**
 * Notes that a trial's summary has to be computed anew, since some of its reports were archived. Whoever shows it
 * next does that, so that no other write waits for it.
 */
export async function markSummaryStale(tx: Transaction, trialId: number): Promise<void> {
	await tx.run("UPDATE trials SET summary_stale = summary_stale + 1 WHERE id = ?", trialId);
}

/** Returns a trial with a summary that is true. Throws `not_found` if there is none. */
export async function getFreshTrial(db: Database, trialId: number): Promise<Trial> {
	return freshTrial(db, await getTrialRow(db, trialId));
}

/** Makes a trial of its row, with a summary that is true. */
export async function freshTrial(db: Database, row: TrialRow): Promise<Trial> {
	if (row.summary_stale === 0) {
		return toTrial(row);
	}
	const summary = await computeSummary(db, row.id);
	try {
		return await db.write(async (tx) => {
			const { summary_stale: stale } = await getTrialRow(tx, row.id);
			if (stale !== 0) {
				// What was reported or archived meanwhile may be missing.
				await storeSummary(tx, row.id, stale === row.summary_stale ? summary : await computeSummary(tx, row.id));
			}
			return getTrial(tx, row.id);
		});
	} catch (error) {
		if (!isMillraceError(error, "unavailable")) {
			throw error;
		}
		// On a full disk it is computed whenever it is read.
		return toTrial({ ...row, summary: writeSummary(summary) });
	}
}

/** Adds new reports, given as the metrics of each group in their order, to a trial's summary, unless it is stale. */
export async function foldSummary(
	tx: Transaction,
	trialId: number,
	reported: ReadonlyMap<string, readonly Readonly<Record<string, unknown>>[]>,
): Promise<void> {
	const row = await getTrialRow(tx, trialId);
	if (row.summary_stale !== 0) {
		// Whoever computes it at this moment has to notice these.
		await markSummaryStale(tx, trialId);
		return;
	}
	const summary = parseSummary(row.summary);
	for (const [group, reports] of reported) {
		const metrics = groupOf(summary, group);
		for (const report of reports) {
			foldMetrics(metrics, report);
		}
	}
	await storeSummary(tx, trialId, summary);
}

/** Groups whose reports are no metrics of the model; they have no steps, no merging and no summary. */
export const profilingGroups: ReadonlySet<string> = new Set(["gpu", "cpu", "memory", "disk", "network"]);

const pageSize = 5_000;

/** Computes a trial's summary from the reports that are not archived. */
async function computeSummary(db: Reader, trialId: number): Promise<Summary> {
	const summary: Summary = new Map();
	const newest = new Map<string, { endTime: number; metrics: Record<string, unknown> }>();
	let after: readonly [number, number, number] = [0, -2, 0];
	for (;;) {
		const rows = await db.all<{
			id: number;
			trial_run_id: number;
			step: number;
			group_name: string;
			end_time: number;
			metrics: string;
		}>(
			`SELECT id, trial_run_id, step, group_name, end_time, metrics FROM metric_reports
			WHERE trial_id = ? AND archived = 0 AND (trial_run_id, step, id) > (?, ?, ?)
			ORDER BY trial_run_id, step, id LIMIT ${pageSize}`,
			trialId,
			...after,
		);
		for (const row of rows) {
			if (!profilingGroups.has(row.group_name)) {
				const metrics = JSON.parse(row.metrics) as Record<string, unknown>;
				foldMetrics(groupOf(summary, row.group_name), metrics);
				const last = newest.get(row.group_name);
				if (last === undefined || row.end_time >= last.endTime) {
					newest.set(row.group_name, { endTime: row.end_time, metrics });
				}
			}
		}
		const end = rows.at(-1);
		if (end === undefined || rows.length < pageSize) {
			break;
		}
		after = [end.trial_run_id, end.step, end.id];
	}
	for (const [group, { metrics }] of newest) {
		setLast(groupOf(summary, group), metrics);
	}
	return summary;
}

function groupOf(summary: Summary, name: string): GroupSummary {
	let group = summary.get(name);
	if (group === undefined) {
		group = new Map();
		summary.set(name, group);
	}
	return group;
}

async function storeSummary(tx: Transaction, trialId: number, summary: Summary): Promise<void> {
	await tx.run("UPDATE trials SET summary = ?, summary_stale = 0 WHERE id = ?", writeSummary(summary), trialId);
}
