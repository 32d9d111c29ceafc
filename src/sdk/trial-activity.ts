import { setTimeout as delay } from "node:timers/promises";
import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";
import {
	CollectiveCaller,
	CollectiveScope,
	CollectiveOperation as Operation,
} from "../gen/millrace/v1/rendezvous_pb.js";
import type {
	MemberActivity as MemberMessage,
	PendingOperation as OperationMessage,
	TrialActivity as TrialActivityMessage,
} from "../gen/millrace/v1/trial_activity_pb.js";
import {
	type TrialRun as RunMessage,
	TrialRunState as RunState,
	TrialState as State,
} from "../gen/millrace/v1/trial_pb.js";
import { activityMessage } from "./activity-message.js";
import { type AsyncList, asyncList } from "./async-list.js";
import type { Session } from "./session.js";
import type { TrialState } from "./trial.js";
import { intervalMs } from "./wait-for-experiment.js";
import { type SeenActivity, workerMessage } from "./worker-message.js";

/** The state of a trial run. All after RUNNING are verdicts, and final. */
export type TrialRunState = "UNSPECIFIED" | "FORMING" | "RUNNING" | "COMPLETED" | "PREEMPTED" | "FAILED" | "KILLED";

/** One attempt at a trial. */
export interface TrialRun {
	/** The number of the run within its trial, from 1. */
	readonly trialRunId: number;
	/** FORMING until all its workers have joined. */
	readonly state: TrialRunState;
	/** The number of its workers; 0 for a run of a script that has none. */
	readonly worldSize: number;
	/** Why it ended, in words; empty while it is open. */
	readonly reason: string;
	/** How many workers ever joined it. */
	readonly joinedCount: number;
	/** The host of the process that owns it, such as `millrace run`; empty if workers formed it by themselves. */
	readonly ownerHost: string;
	/** The id of that process; 0 if there is none. */
	readonly ownerPid: number;
	/** Whether its workers were asked to stop at their next commit. */
	readonly preemptRequested: boolean;
	/** When it was started. */
	readonly startTime: Date;
	/** When it ended; null while it is open. */
	readonly endTime: Date | null;
}

/** What a worker of an open run is at, as far as it has told: it tells every 3 seconds, or five times in each lease. */
export interface WorkerActivity {
	readonly rank: number;
	/** The host name. */
	readonly host: string;
	/** The process id on that host. */
	readonly pid: number;
	/** The rank among the workers of the same node. */
	readonly localRank: number;
	/** The number of the node. */
	readonly nodeRank: number;
	/** Whether its connection to the server is open. It has a second to come back, and a lease after a restart of the server. */
	readonly connected: boolean;
	/** When it was heard of last; null if the server was started since, and it has not come back. */
	readonly heardTime: Date | null;
	/** When it last told what it is at, which `step`, `inFlight`, `loading` and `unchangedSince` say; null until then. */
	readonly toldTime: Date | null;
	/** How many steps it has completed, those of earlier runs included. */
	readonly step: number;
	/** The records that it loads or processes, from `first` to `end` - 1; null between two batches. */
	readonly inFlight: { readonly first: number; readonly end: number } | null;
	/** Whether they are still being loaded. */
	readonly loading: boolean;
	/** Since when it is at these records, or between two batches; null until it has told. */
	readonly unchangedSince: Date | null;
	/** How many records it has committed in this run, without those that failed. */
	readonly recordsDone: number;
	/** How many steps it had completed at its last commit in this run; 0 before the first. */
	readonly lastCommitStep: number;
	/** When that was; null before the first. */
	readonly lastCommitTime: Date | null;
	/** Whether it was its last commit, after onFinish. */
	readonly finished: boolean;
	/**
	 * How many records it commits in a second: over its commits of the last 10 seconds, or over the last two. It falls
	 * once the next one is late. null before its second commit in this run.
	 */
	readonly recordsPerSecond: number | null;
	/** What it is at, in a few words: "processing records 640 to 703 for 41 s". */
	readonly message: string;
}

/** A collective operation in which workers wait for others. */
export interface WorkerWait {
	/** Who called it. */
	readonly caller: "runtime" | "user";
	/** Whether all workers take part, or those of one node. */
	readonly scope: "world" | "node";
	/** The number of that node; 0 where all take part. */
	readonly nodeRank: number;
	/** "step": the barrier after a commit. "finish": the one at the end of the run. */
	readonly operation: "gather" | "allgather" | "broadcast" | "step" | "finish";
	/** The ranks that wait, ascending. */
	readonly waitingRanks: readonly number[];
	/** The ranks that they wait for, ascending; none while the server records the answer. */
	readonly missingRanks: readonly number[];
	/** Since when the first of them waits, or since the server was started again. */
	readonly since: Date;
}

/** What a trial is doing at one moment. All times are of the server's clock, so that ages follow from them and `time`. */
export interface TrialActivity {
	/** When this was so. */
	readonly time: Date;
	readonly trialId: number;
	readonly experimentId: number;
	/** The name of that experiment. */
	readonly experimentName: string;
	/** The state of the trial. */
	readonly state: TrialState;
	/** Whether it was asked to pause at its next commit. */
	readonly pauseRequested: boolean;
	/** Whether it was asked to end at its next commit. */
	readonly cancelRequested: boolean;
	/** How many records are committed, without those that failed. */
	readonly recordsDone: number;
	/** How many records failed and were skipped. */
	readonly recordsFailed: number;
	/** How many records there are to do in all; 0 while that is not known, and for programs with a loop of their own. */
	readonly recordsTotal: number;
	/** How far it is, from 0 to 1. */
	readonly progress: number;
	/** What its program said that it does; empty if nothing. */
	readonly status: string;
	/** How many of its runs failed. */
	readonly restarts: number;
	/** How many of its runs may fail before it does. */
	readonly maxRestarts: number;
	/** Its newest run, open or not; null before the first. */
	readonly run: TrialRun | null;
	/** How many records the workers commit in a second, added up; null where none has a rate. */
	readonly recordsPerSecond: number | null;
	/** How long it will take at this rate, in seconds; null where that is not known. */
	readonly secondsLeft: number | null;
	/** After how long a worker that is silent is lost, in seconds. */
	readonly leaseSeconds: number;
	/** When the open run fails unless all its workers have joined, or come back to a server that was started again; else null. */
	readonly joinDeadline: Date | null;
	/** The workers of the open run, in rank order. */
	readonly workers: readonly WorkerActivity[];
	/** The collective operations in which some of them wait for others. */
	readonly waits: readonly WorkerWait[];
	/**
	 * What it is doing, in plain words: "rank 2 on gpu-box has been processing records 640 to 703 for 41 s; ranks 0, 1 and
	 * 3 wait for it at the commit of step 10".
	 */
	readonly message: string;
}

/** How a trial is watched. */
export interface WatchOptions {
	/** The time between an answer of the server and the next question, in seconds. Default: 1. */
	readonly interval?: number | undefined;
}

const ended: readonly TrialState[] = ["COMPLETED", "CANCELED", "ERROR"];

/** Reads what a trial is doing, again and again until it has ended, as `trial.watch` does. */
export function watchTrial(session: Session, trialId: number, options: WatchOptions): AsyncList<TrialActivity> {
	return asyncList(async function* () {
		const waitMs = intervalMs(options, "watch", 1);
		for (;;) {
			const { trials } = await session.connection();
			const { activity } = await trials.getTrialActivity({ trialId });
			const seen = toActivity(activity as TrialActivityMessage);
			yield seen;
			if (ended.includes(seen.state)) {
				return;
			}
			await delay(waitMs);
		}
	});
}

function toActivity(message: TrialActivityMessage): TrialActivity {
	const { trialId, experimentId, experimentName, pauseRequested, cancelRequested, progress, status } = message;
	const [recordsDone, recordsFailed, recordsTotal] = [
		message.recordsDone,
		message.recordsFailed,
		message.recordsTotal,
	].map(Number) as [number, number, number];
	const recordsPerSecond = message.recordsPerSecond ?? null;
	const left = recordsTotal - recordsDone - recordsFailed;
	const facts = {
		time: toDate(message.time) ?? new Date(0),
		...{ trialId, experimentId, experimentName },
		state: State[message.state] as TrialState,
		...{ pauseRequested, cancelRequested, recordsDone, recordsFailed, recordsTotal, progress, status },
		...{ restarts: message.restarts, maxRestarts: message.maxRestarts },
		run: message.trialRun === undefined ? null : toRun(message.trialRun),
		recordsPerSecond,
		secondsLeft: recordsTotal > 0 && recordsPerSecond !== null && recordsPerSecond > 0 ? left / recordsPerSecond : null,
		leaseSeconds: message.leaseMs / 1_000,
		joinDeadline: toDate(message.joinDeadline),
		waits: message.pendingOperations.map(toWait),
	};
	return withMessages({ ...facts, workers: message.members.map(toWorker) });
}

/** Adds to an activity what it says in words. */
export function withMessages(seen: SeenActivity): TrialActivity {
	const workers = seen.workers.map((worker) => ({ ...worker, message: workerMessage(worker, seen) }));
	return { ...seen, workers, message: activityMessage(seen) };
}

function toRun(message: RunMessage): TrialRun {
	const { trialRunId, worldSize, reason, joinedCount, ownerHost, ownerPid, preemptRequested } = message;
	return {
		trialRunId,
		state: RunState[message.state] as TrialRunState,
		...{ worldSize, reason, joinedCount, ownerHost, ownerPid, preemptRequested },
		startTime: toDate(message.startTime) ?? new Date(0),
		endTime: toDate(message.endTime),
	};
}

function toWorker(message: MemberMessage): Omit<WorkerActivity, "message"> {
	const { rank, host, pid, localRank, nodeRank, connected, step, inFlight, loading, lastCommitStep, finished } =
		message;
	return {
		...{ rank, host, pid, localRank, nodeRank, connected },
		heardTime: toDate(message.heardTime),
		toldTime: toDate(message.toldTime),
		step,
		inFlight: inFlight === undefined ? null : { first: Number(inFlight.first), end: Number(inFlight.end) },
		loading,
		unchangedSince: toDate(message.unchangedSince),
		recordsDone: Number(message.recordsDone),
		lastCommitStep,
		lastCommitTime: toDate(message.lastCommitTime),
		finished,
		recordsPerSecond: message.recordsPerSecond ?? null,
	};
}

function toWait(message: OperationMessage): WorkerWait {
	const { channel, nodeRank, operation, waitingRanks, missingRanks } = message;
	return {
		caller: channel?.caller === CollectiveCaller.USER ? "user" : "runtime",
		scope: channel?.scope === CollectiveScope.NODE ? "node" : "world",
		nodeRank,
		operation: (Operation[operation] ?? "").toLowerCase() as WorkerWait["operation"],
		...{ waitingRanks, missingRanks },
		since: toDate(message.waitingSince) ?? new Date(0),
	};
}

function toDate(time: Timestamp | undefined): Date | null {
	return time === undefined ? null : timestampDate(time);
}
