import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { MemberActivitySchema, TrialActivitySchema } from "../../gen/millrace/v1/trial_activity_pb.js";
import { TrialState } from "../../gen/millrace/v1/trial_pb.js";
import type { RunActivity } from "../../rendezvous/activity.js";
import { enumValue } from "../db/enum-name.js";
import { listMemberCommits, type MemberCommits, readActivity, recordsPerSecond } from "../db/trial-activity.js";
import { isOpen, toTrialRun } from "../db/trial-runs.js";
import type { ServiceContext } from "./service-context.js";

type Activity = MessageInitShape<typeof TrialActivitySchema>;

/**
 * Says what a trial is doing: what the database has of it, and what the members of its open run last told.
 *
 * Throws `not_found` if there is no such trial.
 */
export async function trialActivity(context: ServiceContext, trialId: number): Promise<Activity> {
	const { db, owners, runActivity } = context;
	const { trial, run } = await readActivity(db, trialId);
	const isRunning = run !== undefined && isOpen(run);
	const rows = isRunning ? await listMemberCommits(db, trialId, run.trial_run_id) : [];
	const seen = isRunning ? runActivity(trialId, run.trial_run_id) : undefined;
	const time = Date.now();
	const at = (ms: number) => timestampFromMs(Math.round(time - ((seen?.now ?? 0) - ms)));
	const members = rows.map((row) => memberActivity(row, seen, time, at));
	const rates = members.flatMap((member) => member.recordsPerSecond ?? []);
	return {
		time: timestampFromMs(time),
		trialId,
		experimentId: trial.experiment_id,
		experimentName: trial.experiment_name,
		state: enumValue(TrialState, trial.state),
		pauseRequested: trial.pause_requested !== 0,
		cancelRequested: trial.cancel_requested !== 0,
		recordsDone: BigInt(trial.records_done),
		recordsFailed: BigInt(trial.records_failed),
		recordsTotal: BigInt(trial.goal_end ?? 0),
		progress: trial.progress,
		status: trial.status,
		restarts: trial.restarts,
		maxRestarts: trial.max_restarts,
		...(run && { trialRun: toTrialRun(run) }),
		...(rates.length > 0 && { recordsPerSecond: rates.reduce((sum, rate) => sum + rate, 0) }),
		leaseMs: owners.leaseMs,
		...(seen?.joinDeadline !== undefined && { joinDeadline: at(seen.joinDeadline) }),
		members,
		pendingOperations: (seen?.operations ?? []).map(({ since, waitingRanks, missingRanks, ...operation }) => ({
			...operation,
			waitingRanks: [...waitingRanks],
			missingRanks: [...missingRanks],
			waitingSince: at(since),
		})),
	};
}

function memberActivity(
	row: MemberCommits,
	activity: RunActivity | undefined,
	time: number,
	at: (ms: number) => ReturnType<typeof timestampFromMs>,
): MessageInitShape<typeof MemberActivitySchema> {
	const seen = activity?.members.get(row.member_uuid);
	const progress = seen?.progress;
	const rate = recordsPerSecond(row, time);
	return {
		rank: row.rank,
		host: row.host,
		pid: row.pid,
		localRank: row.local_rank,
		nodeRank: row.node_rank,
		connected: seen?.isConnected ?? false,
		...(seen && { heardTime: at(seen.heardAt) }),
		// What it told may be older than its last commit.
		step: Math.max(progress?.step ?? 0, row.last_step ?? 0),
		...(progress?.inFlight && { inFlight: progress.inFlight }),
		loading: progress?.isLoading ?? false,
		...(seen && progress && { toldTime: at(seen.toldAt), unchangedSince: at(seen.unchangedSince) }),
		recordsDone: BigInt(row.last_records ?? 0),
		...(row.last_time !== null && { lastCommitTime: timestampFromMs(row.last_time) }),
		lastCommitStep: row.last_step ?? 0,
		finished: row.last_finish === 1,
		...(rate !== undefined && { recordsPerSecond: rate }),
	};
}
