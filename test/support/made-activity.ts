import type { TrialRun, WorkerWait } from "../../src/sdk/trial-activity.js";
import type { SeenActivity, SeenWorker } from "../../src/sdk/worker-message.js";

/** The moment of all activities that are made here. */
export const moment = new Date("2026-11-22T21:00:00.000Z");

/** So many seconds before the moment. */
export function ago(seconds: number): Date {
	return new Date(moment.getTime() - seconds * 1_000);
}

/** A run of four workers that is under way, but for what is given. */
export function madeRun(run: Partial<TrialRun> = {}): TrialRun {
	return {
		trialRunId: 2,
		state: "RUNNING",
		worldSize: 4,
		reason: "",
		joinedCount: 4,
		ownerHost: "desk",
		ownerPid: 7,
		preemptRequested: false,
		startTime: ago(200),
		endTime: null,
		...run,
	};
}

/** A worker that is between two batches, which it told a second ago, but for what is given. */
export function madeWorker(rank: number, worker: Partial<SeenWorker> = {}): SeenWorker {
	return {
		rank,
		host: rank < 2 ? "desk" : "gpu-box",
		pid: 4_000 + rank,
		localRank: rank % 2,
		nodeRank: Math.floor(rank / 2),
		connected: true,
		heardTime: ago(1),
		toldTime: ago(1),
		step: 10,
		inFlight: null,
		loading: false,
		unchangedSince: ago(2),
		recordsDone: 640,
		lastCommitStep: 10,
		lastCommitTime: ago(41),
		finished: false,
		recordsPerSecond: 15.5,
		...worker,
	};
}

/** Ranks that wait at the barrier after a commit, for 40 seconds, but for what is given. */
export function madeWait(
	waitingRanks: readonly number[],
	missingRanks: readonly number[],
	wait: Partial<WorkerWait> = {},
): WorkerWait {
	const whose = { caller: "runtime", scope: "world", nodeRank: 0, operation: "step" } as const;
	return { ...whose, waitingRanks, missingRanks, since: ago(40), ...wait };
}

/** What a trial with 10,000 records does whose four workers are at their batches, but for what is given. */
export function madeActivity(activity: Partial<SeenActivity> = {}): SeenActivity {
	return {
		time: moment,
		trialId: 5,
		experimentId: 3,
		experimentName: "doubler",
		state: "ACTIVE",
		pauseRequested: false,
		cancelRequested: false,
		recordsDone: 4_096,
		recordsFailed: 0,
		recordsTotal: 10_000,
		progress: 0.4096,
		status: "",
		restarts: 1,
		maxRestarts: 5,
		run: madeRun(),
		recordsPerSecond: 62,
		secondsLeft: 5_904 / 62,
		leaseSeconds: 15,
		joinDeadline: null,
		workers: [0, 1, 2, 3].map((rank) => madeWorker(rank)),
		waits: [],
		...activity,
	};
}
