import type { Member } from "../../gen/millrace/v1/trial_pb.js";
import type { Transaction } from "./database.js";
import { markSummaryStale } from "./trial-summary.js";

/**
 * Archives the reports of batch processing that no commit of their run confirmed, after the run was closed. A
 * finish commit confirms nothing where the run was not completed.
 */
export async function archiveUnconfirmed(tx: Transaction, trialId: number, trialRunId: number): Promise<void> {
	// A rank has one member that writes; others left while the run was forming, and have no commits.
	const archived = await tx.run(
		`WITH confirmed AS (
			SELECT rank, max(ifnull((
				SELECT commit_number FROM commits
				WHERE trial_id = ?1 AND trial_run_id = ?2 AND rank = members.rank AND member_uuid = members.member_uuid
				AND (finish = 0 OR run.state = 'COMPLETED')
				ORDER BY commit_number DESC LIMIT 1
			), 0)) AS last FROM members JOIN trial_runs AS run USING (trial_id, trial_run_id)
			WHERE trial_id = ?1 AND trial_run_id = ?2 GROUP BY rank
		)
		UPDATE metric_reports SET archived = 1 WHERE id IN (
			SELECT report.id FROM confirmed CROSS JOIN metric_reports AS report INDEXED BY metric_reports_to_confirm
			ON trial_id = ?1 AND trial_run_id = ?2 AND report.rank = confirmed.rank AND commit_number > last
			AND origin = 1 AND archived = 0
		)`,
		trialId,
		trialRunId,
	);
	if (archived > 0) {
		await noteArchived(tx, trialId);
	}
}

/** Archives what a worker has reported and not committed, while its run goes on. */
export async function archiveDroppedParts(tx: Transaction, member: Member): Promise<void> {
	const archived = await tx.run(
		`UPDATE metric_reports INDEXED BY metric_reports_to_confirm SET archived = 1
		WHERE trial_id = ?1 AND trial_run_id = ?2 AND rank = ?3 AND origin = 1 AND archived = 0 AND commit_number > ifnull((
			SELECT max(commit_number) FROM commits
			WHERE trial_id = ?1 AND trial_run_id = ?2 AND rank = ?3 AND member_uuid = ?4
		), 0)`,
		member.trialId,
		member.trialRunId,
		member.rank,
		member.memberUuid,
	);
	if (archived > 0) {
		await noteArchived(tx, member.trialId);
	}
}

/** Archives what earlier finishes of a trial reported: the reducers' results, and reports of onFinish. */
export async function archiveEarlierFinish(tx: Transaction, trialId: number, trialRunId: number): Promise<void> {
	const archived = await tx.run(
		`UPDATE metric_reports AS report SET archived = 1
		WHERE trial_id = ? AND trial_run_id < ? AND archived = 0 AND (origin = 2 OR (origin = 1 AND EXISTS (
			SELECT 1 FROM commits
			WHERE commits.trial_id = report.trial_id AND commits.trial_run_id = report.trial_run_id
			AND commits.rank = report.rank AND commits.part = report.part
			AND commits.commit_number = report.commit_number AND commits.finish = 1
		)))`,
		trialId,
		trialRunId,
	);
	if (archived > 0) {
		await noteArchived(tx, trialId);
	}
}

/**
 * Archives what a trial that went back in time will report again. A plain report of run R and group G with
 * S steps archives the plain reports of older runs: those of G from S steps on, those of other groups from
 * more than S. One without steps archives nothing. `lowest` holds the fewest steps that the new reports of each
 * group have.
 */
export async function archiveRolledBack(
	tx: Transaction,
	trialId: number,
	trialRunId: number,
	lowest: ReadonlyMap<string, number>,
): Promise<void> {
	if (trialRunId === 1 || lowest.size === 0) {
		return;
	}
	let archived = 0;
	for (const group of await groupsOf(tx, trialId)) {
		const bounds = [...lowest].map(([reported, steps]) => (reported === group ? steps : steps + 1));
		archived += await tx.run(
			`UPDATE metric_reports SET archived = 1
			WHERE trial_id = ? AND group_name = ? AND steps_completed >= ? AND trial_run_id < ? AND origin = 0 AND archived = 0`,
			trialId,
			group,
			Math.min(...bounds),
			trialRunId,
		);
	}
	if (archived > 0) {
		await noteArchived(tx, trialId);
	}
}

/** The groups of the trial ?1, by one search in the index for each, however many reports they have. */
const groupsOfTrial = `WITH RECURSIVE groups (name) AS (
	SELECT min(group_name) FROM metric_reports WHERE trial_id = ?1 AND archived = 0
	UNION ALL
	SELECT (SELECT min(group_name) FROM metric_reports WHERE trial_id = ?1 AND archived = 0 AND group_name > groups.name)
	FROM groups WHERE groups.name IS NOT NULL
)`;

async function groupsOf(tx: Transaction, trialId: number): Promise<string[]> {
	const rows = await tx.all<{ name: string }>(
		`${groupsOfTrial} SELECT name FROM groups WHERE name IS NOT NULL`,
		trialId,
	);
	return rows.map((row) => row.name);
}

/** The trial has gone back, and what is remembered of its reports is more than there is. */
async function noteArchived(tx: Transaction, trialId: number): Promise<void> {
	await markSummaryStale(tx, trialId);
	await tx.run(
		`UPDATE trials SET reported_step = (
			${groupsOfTrial} SELECT ifnull(max((
				SELECT max(steps_completed) FROM metric_reports
				WHERE trial_id = ?1 AND group_name = groups.name AND archived = 0
			)), 0) FROM groups WHERE name IS NOT NULL
		) WHERE id = ?1`,
		trialId,
	);
}
