import { setTimeout as delay } from "node:timers/promises";
import { TrialRunState } from "../gen/millrace/v1/trial_pb.js";
import type { Connection } from "../sdk/connection.js";

/** How long a start may take before it is worth a word why, in milliseconds. */
const quietMs = 1_000;

/**
 * Says, unless `signal` is aborted within a second, whose end the start of a trial's next run waits for. Says nothing
 * where no run with an owner is open, or the server does not answer.
 */
export async function sayAwaitedOwner(
	{ trials }: Connection,
	trialId: number,
	say: (line: string) => void,
	signal: AbortSignal,
): Promise<void> {
	try {
		await delay(quietMs, undefined, { signal });
		const options = { retryMs: 0, signal };
		const { trial } = await trials.getTrial({ trialId }, options);
		const trialRunId = trial?.trialRunId ?? 0;
		if (trialRunId === 0) {
			return;
		}
		const { trialRun } = await trials.getTrialRun({ trialId, trialRunId }, options);
		const isOpen = trialRun?.state === TrialRunState.FORMING || trialRun?.state === TrialRunState.RUNNING;
		if (isOpen && trialRun.ownerPid > 0 && !signal.aborted) {
			const owner = `process ${trialRun.ownerPid} on ${trialRun.ownerHost}`;
			say(`waiting until the last owner of trial ${trialId} (${owner}) is gone, or shows that it is alive`);
		}
	} catch {
		// Whoever starts the run learns what is wrong.
	}
}
