import type { JoinRequest, ReducedMetrics } from "../gen/millrace/v1/rendezvous_pb.js";
import type { Member, TrialRun, TrialRunState } from "../gen/millrace/v1/trial_pb.js";

/** What a join leads to: a run that is open, or the verdict on a trial that needs none, or on the member's own run. */
export type OpenedRun =
	| {
			readonly open: true;
			readonly trialRunId: number;
			readonly worldSize: number;
			/** Whether all members were there once: then nobody else can become one. */
			readonly isRunning: boolean;
			/** Whether the worker is one of the members. */
			readonly isMember: boolean;
	  }
	| { readonly open: false; readonly trialRunId: number; readonly state: TrialRunState; readonly reason: string };

/**
 * What the rendezvous needs remembered. The server keeps it in its database; each call is one transaction,
 * and has happened when its promise resolves.
 */
export interface RunLedger {
	/**
	 * Checks a join against the trial and its runs, and returns the run to join. Without an open run it
	 * starts the next one, with the join's world size; but a process that was a member of a run that has closed
	 * gets its verdict.
	 *
	 * Throws `not_found` for an unknown trial, `failed_precondition` where the trial or the run that the join
	 * names does not permit it.
	 */
	openRun(join: JoinRequest): Promise<OpenedRun>;
	/** Records that a member is there. */
	addMember(join: JoinRequest, trialRunId: number): Promise<void>;
	/** Records that a member is gone: its later writes are refused. */
	removeMember(member: Member): Promise<void>;
	/** Records that all members are there. */
	startRun(trialId: number, trialRunId: number): Promise<void>;
	/** Closes an open run with a verdict, and lets the trial's state follow. A run that has a verdict keeps it. */
	closeRun(trialId: number, trialRunId: number, state: TrialRunState, reason: string): Promise<TrialRun>;
	/** Answers the barrier after a step. Where the trial is to pause, the run is closed as PREEMPTED with the answer. */
	decideStep(trialId: number, trialRunId: number, done: boolean): Promise<{ preempted: boolean }>;
	/**
	 * Records that all work is done: the reducers' results, the run and the trial as COMPLETED. A trial without a plan,
	 * whose workers bring their own loop, is done when they say so.
	 *
	 * Throws `failed_precondition` if a record of the goal is not done, or there are results without a plan.
	 */
	finishRun(trialId: number, trialRunId: number, results: readonly ReducedMetrics[]): Promise<void>;
	/** Says in words how far a member was, and how many steps it had completed at its last commit: 0 without one. */
	lastProgress(member: Member): Promise<{ readonly step: number; readonly text: string }>;
}
