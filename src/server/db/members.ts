import { MillraceError } from "../../errors.js";
import type { JoinRequest } from "../../gen/millrace/v1/rendezvous_pb.js";
import type { Member } from "../../gen/millrace/v1/trial_pb.js";
import type { Reader, Transaction } from "./database.js";
import { getRunRow, isOpen, type TrialRunRow } from "./trial-runs.js";

/**
 * Records that a member is there. One that was gone and comes back is a member again, while the run is forming.
 *
 * Throws `failed_precondition` if the run was closed meanwhile, or has started and lost the member.
 */
export async function addMember(tx: Transaction, join: JoinRequest, trialRunId: number): Promise<void> {
	const run = await getRunRow(tx, join.trialId, trialRunId);
	if (!isOpen(run)) {
		throw new MillraceError("failed_precondition", closedRunText(join.trialId, run));
	}
	const known = await tx.run(
		`UPDATE members SET gone_time = NULL
		WHERE trial_id = ? AND trial_run_id = ? AND rank = ? AND member_uuid = ? AND (gone_time IS NULL OR ?)`,
		join.trialId,
		trialRunId,
		join.rank,
		join.memberUuid,
		run.state === "FORMING",
	);
	if (known > 0) {
		return;
	}
	if (run.state !== "FORMING") {
		throw new MillraceError("failed_precondition", goneMemberText({ ...join, trialRunId }));
	}
	await tx.run(
		`INSERT INTO members (trial_id, trial_run_id, rank, member_uuid, host, pid, local_rank, local_world_size, node_rank, join_time)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		join.trialId,
		trialRunId,
		join.rank,
		join.memberUuid,
		join.host,
		join.pid,
		join.localRank,
		join.localWorldSize,
		join.nodeRank,
		tx.now,
	);
	await tx.run(
		"UPDATE trial_runs SET joined_count = joined_count + 1 WHERE trial_id = ? AND trial_run_id = ?",
		join.trialId,
		trialRunId,
	);
}

/** Returns the last run that a process was a member of, and whether it is gone from it; or undefined. */
export function findRunOfMember(
	db: Reader,
	{ trialId, rank, memberUuid }: Pick<Member, "trialId" | "rank" | "memberUuid">,
): Promise<(TrialRunRow & { readonly gone_time: number | null }) | undefined> {
	return db.get(
		`SELECT trial_runs.*, members.gone_time FROM members JOIN trial_runs USING (trial_id, trial_run_id)
		WHERE trial_id = ? AND rank = ? AND member_uuid = ? ORDER BY trial_run_id DESC LIMIT 1`,
		trialId,
		rank,
		memberUuid,
	);
}

/** Tells whether a run has a member that is not gone. */
export async function hasMember(db: Reader, trialId: number, trialRunId: number): Promise<boolean> {
	const living = await db.get(
		"SELECT 1 FROM members WHERE trial_id = ? AND trial_run_id = ? AND gone_time IS NULL LIMIT 1",
		trialId,
		trialRunId,
	);
	return living !== undefined;
}

/** Records that a member is gone. */
export async function removeMember(tx: Transaction, member: Member): Promise<void> {
	await tx.run(
		`UPDATE members SET gone_time = ?
		WHERE trial_id = ? AND trial_run_id = ? AND rank = ? AND member_uuid = ? AND gone_time IS NULL`,
		tx.now,
		member.trialId,
		member.trialRunId,
		member.rank,
		member.memberUuid,
	);
}

/**
 * Returns the open run that a member writes to.
 *
 * Throws `failed_precondition` if the run is closed, or the member is not, or no longer, one of it.
 */
export async function assertMember(db: Reader, member: Member): Promise<TrialRunRow> {
	const run = await getRunRow(db, member.trialId, member.trialRunId);
	if (!isOpen(run)) {
		throw new MillraceError("failed_precondition", closedRunText(member.trialId, run));
	}
	if (run.state === "FORMING") {
		// Until all are there, another process may still take this worker's place.
		throw new MillraceError(
			"failed_precondition",
			`run ${run.trial_run_id} of trial ${member.trialId} has not started; wait until all its workers have joined`,
		);
	}
	const row = await db.get<{ gone_time: number | null }>(
		"SELECT gone_time FROM members WHERE trial_id = ? AND trial_run_id = ? AND rank = ? AND member_uuid = ?",
		member.trialId,
		member.trialRunId,
		member.rank,
		member.memberUuid,
	);
	if (row === undefined || row.gone_time !== null) {
		throw new MillraceError("failed_precondition", goneMemberText(member));
	}
	return run;
}

/** Says that a run takes no writes any more. */
export function closedRunText(trialId: number, run: Pick<TrialRunRow, "trial_run_id" | "state" | "reason">): string {
	const why = run.reason === "" ? "" : `: ${run.reason}`;
	return `run ${run.trial_run_id} of trial ${trialId} is closed as ${run.state}${why}`;
}

/** Says that a worker is not a member of its run. */
export function goneMemberText(member: Pick<Member, "trialId" | "trialRunId" | "rank" | "memberUuid">): string {
	return (
		`worker ${member.memberUuid} is not, or no longer, rank ${member.rank} in run ${member.trialRunId} ` +
		`of trial ${member.trialId}; join the run before writing to it`
	);
}
