import { MillraceError } from "../../errors.js";
import type { Reader } from "./database.js";
import { findNewestRun, isOpen, type TrialRunRow } from "./trial-runs.js";
import type { TrialRow } from "./trials.js";

/** What a trial's row tells of what it is doing. */
export interface ActivityRow
	extends Pick<
		TrialRow,
		| "id"
		| "experiment_id"
		| "state"
		| "pause_requested"
		| "cancel_requested"
		| "records_done"
		| "records_failed"
		| "goal_end"
		| "progress"
		| "status"
		| "restarts"
		| "max_restarts"
		| "trial_run_id"
	> {
	readonly experiment_name: string;
}

/**
 * Returns a trial, and its newest run if there is one, as they were together.
 *
 * Throws `not_found` if there is no such trial.
 */
export async function readActivity(
	db: Reader,
	trialId: number,
): Promise<{ trial: ActivityRow; run: TrialRunRow | undefined }> {
	for (;;) {
		const run = await findNewestRun(db, trialId);
		const trial = await db.get<ActivityRow>(
			`SELECT trials.id, experiment_id, trials.state, pause_requested, cancel_requested, records_done, records_failed,
				goal_end, trials.progress, status, restarts, max_restarts, trial_run_id, experiments.name AS experiment_name
			FROM trials JOIN experiments ON experiments.id = trials.experiment_id WHERE trials.id = ?`,
			trialId,
		);
		if (trial === undefined) {
			throw new MillraceError("not_found", `trial ${trialId} not found`);
		}
		// The run may have ended, or the next one have started, between the two.
		const fits = trial.trial_run_id === (run?.trial_run_id ?? 0);
		if (fits && (run === undefined || !isOpen(run) || trial.state === "ACTIVE")) {
			return { trial, run };
		}
	}
}

/** What a member of a run has committed. */
export interface MemberCommits {
	readonly rank: number;
	readonly member_uuid: string;
	readonly host: string;
	readonly pid: number;
	readonly local_rank: number;
	readonly node_rank: number;
	/** When its last commit in the run was; NULL before the first, as are the columns below. */
	readonly last_time: number | null;
	readonly last_step: number | null;
	readonly last_finish: number | null;
	/** How many records it has committed in the run. */
	readonly last_records: number | null;
	/** The commit from which on its speed is measured, which may be the last itself. */
	readonly base_time: number | null;
	readonly base_records: number | null;
}

/** How long the speed of a member is averaged over, in milliseconds. */
const windowMs = 10_000;

/** How many commits are looked at for it at most. */
const windowCommits = 100;

/** Returns the members of a run that are not gone, in rank order, with what they have committed. */
export function listMemberCommits(db: Reader, trialId: number, trialRunId: number): Promise<MemberCommits[]> {
	// Some searches of an index for each member, however many commits there are.
	return db.all<MemberCommits>(
		`SELECT ranked.rank, ranked.member_uuid, host, pid, local_rank, node_rank,
			last.time AS last_time, last.step AS last_step, last.finish AS last_finish, last.run_records AS last_records,
			base.time AS base_time, base.run_records AS base_records
		FROM (
			SELECT *, (
				SELECT commit_number FROM commits
				WHERE trial_id = members.trial_id AND trial_run_id = members.trial_run_id AND rank = members.rank
					AND member_uuid = members.member_uuid
				ORDER BY commit_number DESC LIMIT 1
			) AS last_number
			FROM members WHERE trial_id = ?1 AND trial_run_id = ?2 AND gone_time IS NULL
		) AS ranked
		LEFT JOIN commits AS last ON last.trial_id = ?1 AND last.trial_run_id = ?2 AND last.rank = ranked.rank
			AND last.commit_number = ranked.last_number AND last.member_uuid = ranked.member_uuid
		LEFT JOIN commits AS base ON base.trial_id = ?1 AND base.trial_run_id = ?2 AND base.rank = ranked.rank
			AND base.member_uuid = ranked.member_uuid AND base.commit_number = ifnull((
				SELECT earlier.commit_number FROM commits AS earlier
				WHERE earlier.trial_id = ?1 AND earlier.trial_run_id = ?2 AND earlier.rank = ranked.rank
					AND earlier.member_uuid = ranked.member_uuid AND earlier.time <= last.time - ?3
					AND earlier.commit_number BETWEEN ranked.last_number - ?4 AND ranked.last_number - 1
				ORDER BY earlier.commit_number DESC LIMIT 1
			), max(1, ranked.last_number - ?4))
		ORDER BY ranked.rank`,
		trialId,
		trialRunId,
		windowMs,
		windowCommits,
	);
}

/**
 * Returns how many records a member commits in a second; undefined where it has not committed twice. It falls once the
 * next commit takes longer than those that were measured.
 */
export function recordsPerSecond(
	member: Pick<MemberCommits, "last_time" | "last_records" | "base_time" | "base_records">,
	now: number,
): number | undefined {
	const { last_time: time, last_records: records, base_time: baseTime, base_records: baseRecords } = member;
	if (time === null || records === null || baseTime === null || baseRecords === null) {
		return undefined;
	}
	const ms = Math.max(time - baseTime, now - time);
	return time > baseTime ? ((records - baseRecords) * 1_000) / ms : undefined;
}
