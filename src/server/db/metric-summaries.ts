import { type GroupSummary, joinGroups } from "../summary-metrics.js";
import { parseSummary } from "../summary-text.js";
import type { Database } from "./database.js";
import type { MetricSubject } from "./metric-sources.js";
import { computeGroup, freshRow, profilingGroups } from "./trial-summary.js";
import type { TrialRow } from "./trials.js";

/** The summaries of one metric group. */
export interface GroupSummaries {
	/** Over all trials. */
	readonly all: GroupSummary;
	/** Of each trial that has reports of the group, by its id, ascending. */
	readonly trials: ReadonlyMap<number, GroupSummary>;
}

/** Summarizes the reports of a subject: those of a group, of trials in one of the given states, or in any if there are none. */
export async function summarizeGroup(
	db: Database,
	subject: MetricSubject,
	group: string,
	states: readonly string[],
): Promise<GroupSummaries> {
	const rows = await db.all<TrialRow>(
		`SELECT trials.* FROM json_each(?1) AS asked CROSS JOIN trials ON trials.id = asked.value
		WHERE ?2 = '[]' OR state IN (SELECT value FROM json_each(?2)) ORDER BY trials.id`,
		JSON.stringify([...new Set(subject.trialIds)]),
		JSON.stringify(states),
	);
	const trials = new Map<number, GroupSummary>();
	for (const row of rows) {
		const summary = await summaryOf(db, row, subject, group);
		if (summary !== undefined) {
			trials.set(row.id, summary);
		}
	}
	return { all: joinGroups(trials.values()), trials };
}

async function summaryOf(db: Database, row: TrialRow, subject: MetricSubject, group: string) {
	if (!profilingGroups.has(group)) {
		const { summary } = await freshRow(db, row);
		const known = parseSummary(summary).get(group);
		// It is of all reports of the group, also where some are about something else.
		if (known === undefined || !known.isSourced || subject.condition === "") {
			return known;
		}
	}
	return computeGroup(db, row.id, group, subject.condition, subject.parameters);
}
