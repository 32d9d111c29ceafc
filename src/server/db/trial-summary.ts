import { isMillraceError } from "../../errors.js";
import type { Trial } from "../../gen/millrace/v1/trial_pb.js";
import {
	emptyGroup,
	foldRows,
	type GroupSummary,
	groupOf,
	type Metrics,
	type Summary,
	type SummaryRow,
} from "../summary-metrics.js";
import { parseSummary, writeSummary } from "../summary-text.js";
import type { Database, Reader, SqlValue, Transaction } from "./database.js";
import { takeNumbers } from "./metric-clock.js";
import { getTrialRow, type TrialRow, toTrial } from "./trials.js";

/**
 * Notes that a trial's summary has to be computed anew, since some of its reports were archived. Whoever shows it
 * next does that, so that no other write waits for it.
 */
export async function markSummaryStale(tx: Transaction, trialId: number): Promise<void> {
	// A number that no change had before: counted from 0 again after each computing, another that took longer, and was
	// begun before that, would take a later change for the one that it knows.
	await tx.run("UPDATE trials SET summary_stale = ? WHERE id = ?", await takeNumbers(tx, 1), trialId);
}

/** Returns a trial with a summary that is true. Throws `not_found` if there is none. */
export async function getFreshTrial(db: Database, trialId: number): Promise<Trial> {
	return freshTrial(db, await getTrialRow(db, trialId));
}

/** Makes a trial of its row, with a summary that is true. */
export async function freshTrial(db: Database, row: TrialRow): Promise<Trial> {
	return toTrial(await freshRow(db, row));
}

/** Returns a trial's row with a summary that is true. */
export async function freshRow(db: Database, row: TrialRow): Promise<TrialRow> {
	if (row.summary_stale === 0) {
		return row;
	}
	const summary = await computeSummary(db, row.id);
	try {
		return await db.write(async (tx) => {
			const { summary_stale: stale } = await getTrialRow(tx, row.id);
			if (stale !== 0) {
				// What was reported or archived meanwhile may be missing.
				await storeSummary(tx, row.id, stale === row.summary_stale ? summary : await computeSummary(tx, row.id));
			}
			return getTrialRow(tx, row.id);
		});
	} catch (error) {
		if (!isMillraceError(error, "unavailable")) {
			throw error;
		}
		// On a full disk it is computed whenever it is read.
		return { ...row, summary: writeSummary(summary) };
	}
}

/** Adds what was reported of each group to a trial's summary, unless it is stale. */
export async function foldSummary(
	tx: Transaction,
	trialId: number,
	reported: ReadonlyMap<string, readonly SummaryRow[]>,
): Promise<void> {
	const row = await getTrialRow(tx, trialId);
	if (row.summary_stale !== 0) {
		// Whoever computes it at this moment has to notice these.
		await markSummaryStale(tx, trialId);
		return;
	}
	const summary = parseSummary(row.summary);
	for (const [group, rows] of reported) {
		foldRows(groupOf(summary, group), rows);
	}
	await storeSummary(tx, trialId, summary);
}

/**
 * Groups whose reports are no metrics of the model, but of the machine: they have no steps, never merge and are no
 * part of a trial's summary.
 */
export const profilingGroups: ReadonlySet<string> = new Set(["gpu", "cpu", "memory", "disk", "network"]);

/**
 * Computes the summary of a group from those reports of a trial that fit a condition, which has a question mark for
 * each parameter; undefined if there are none.
 */
export async function computeGroup(
	db: Reader,
	trialId: number,
	name: string,
	condition: string,
	parameters: readonly SqlValue[],
): Promise<GroupSummary | undefined> {
	const group = emptyGroup();
	let isEmpty = true;
	for await (const rows of storedRows(db, trialId, `AND group_name = ? ${condition}`, [name, ...parameters])) {
		isEmpty = false;
		foldRows(group, rows.map(toSummaryRow));
	}
	return isEmpty ? undefined : group;
}

/** Computes a trial's summary from the reports that are not archived. */
async function computeSummary(db: Reader, trialId: number): Promise<Summary> {
	const summary: Summary = new Map();
	for await (const rows of storedRows(db, trialId, "", [])) {
		const groups = new Map<string, SummaryRow[]>();
		for (const row of rows) {
			const group = groups.get(row.group_name) ?? [];
			groups.set(row.group_name, group);
			group.push(toSummaryRow(row));
		}
		for (const [name, group] of groups) {
			if (!profilingGroups.has(name)) {
				foldRows(groupOf(summary, name), group);
			}
		}
	}
	return summary;
}

const pageSize = 5_000;

interface StoredRow {
	readonly id: number;
	readonly trial_run_id: number;
	readonly step: number;
	readonly group_name: string;
	readonly end_time: number;
	readonly metrics: string;
	readonly checkpoint_id: number;
}

async function* storedRows(db: Reader, trialId: number, condition: string, parameters: readonly SqlValue[]) {
	let after: readonly [trialRunId: number, step: number, id: number] = [0, -2, 0];
	for (;;) {
		const rows = await db.all<StoredRow>(
			`SELECT id, trial_run_id, step, group_name, end_time, metrics, checkpoint_id FROM metric_reports
			WHERE trial_id = ? AND archived = 0 AND (trial_run_id, step, id) > (?, ?, ?) ${condition}
			ORDER BY trial_run_id, step, id LIMIT ${pageSize}`,
			trialId,
			...after,
			...parameters,
		);
		const end = rows.at(-1);
		if (end === undefined) {
			return;
		}
		yield rows;
		if (rows.length < pageSize) {
			return;
		}
		after = [end.trial_run_id, end.step, end.id];
	}
}

function toSummaryRow({ id, end_time: endTime, metrics: text, checkpoint_id: checkpointId }: StoredRow): SummaryRow {
	const metrics = JSON.parse(text) as Metrics;
	return { id, endTime, metrics, added: metrics, isSourced: checkpointId !== 0 };
}

async function storeSummary(tx: Transaction, trialId: number, summary: Summary): Promise<void> {
	await tx.run("UPDATE trials SET summary = ?, summary_stale = 0 WHERE id = ?", writeSummary(summary), trialId);
}
