import { isMillraceError } from "../errors.js";
import { TrialRunState } from "../gen/millrace/v1/trial_pb.js";
import { connect } from "../sdk/connect.js";
import type { Connection } from "../sdk/connection.js";

/**
 * Tells whether the newest run of the environment's trial was preempted. Workers that were stopped so exit 0,
 * as those do whose work is done; only the server knows. False if it cannot be asked.
 */
export async function wasPreempted(environment: NodeJS.ProcessEnv = process.env): Promise<boolean> {
	const trialId = Number(environment.MILLRACE_TRIAL_ID);
	if (!Number.isInteger(trialId) || trialId < 1) {
		return false;
	}
	let connection: Connection | undefined;
	try {
		connection = await connect({ server: environment.MILLRACE_SERVER });
		const { trial } = await connection.trials.getTrial({ trialId });
		const trialRunId = trial?.trialRunId ?? 0;
		if (trialRunId === 0) {
			return false;
		}
		const { trialRun } = await connection.trials.getTrialRun({ trialId, trialRunId });
		return trialRun?.state === TrialRunState.PREEMPTED;
	} catch (error) {
		// The workers say that they did what they were started for, and the server will tell whoever asks later.
		if (isMillraceError(error)) {
			return false;
		}
		throw error;
	} finally {
		connection?.close();
	}
}
