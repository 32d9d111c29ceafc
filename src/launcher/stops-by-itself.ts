import { type TrialRun, TrialRunState } from "../gen/millrace/v1/trial_pb.js";
import type { Connection } from "../sdk/connection.js";

/** How long the server may take to answer, in milliseconds. */
const answerMs = 2_000;

/**
 * Tells whether the workers of a run that was asked to stop learn of it from the server: whether all of them are
 * members. They stop at their next commit then, and need no signal, which may harm: tsx kills a worker whose thread
 * is busy for 60 ms after it, and mpirun one that takes some seconds. False if the server cannot be asked.
 */
export async function stopsByItself({ trials }: Connection, { trialId, trialRunId }: TrialRun): Promise<boolean> {
	try {
		const options = { retryMs: 0, signal: AbortSignal.timeout(answerMs) };
		const { trialRun } = await trials.getTrialRun({ trialId, trialRunId }, options);
		return trialRun?.state === TrialRunState.RUNNING && trialRun.worldSize > 0;
	} catch {
		return false;
	}
}
