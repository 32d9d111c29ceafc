import { isMillraceError } from "../errors.js";
import type { TrialRunState } from "../gen/millrace/v1/trial_pb.js";
import { connect } from "../sdk/connect.js";
import type { Connection } from "../sdk/connection.js";

/**
 * Returns the state of the newest run of the environment's trial. Workers that were preempted exit 0, as those do
 * whose work is done; only the server knows. Undefined if it cannot be asked.
 */
export async function lastRunState(
	environment: NodeJS.ProcessEnv = process.env,
	options: { retryMs?: number; signal?: AbortSignal } = {},
): Promise<TrialRunState | undefined> {
	const trialId = Number(environment.MILLRACE_TRIAL_ID);
	if (!Number.isInteger(trialId) || trialId < 1) {
		return undefined;
	}
	let connection: Connection | undefined;
	try {
		connection = await connect({}, environment);
		const { trial } = await connection.trials.getTrial({ trialId }, options);
		const trialRunId = trial?.trialRunId ?? 0;
		if (trialRunId === 0) {
			return undefined;
		}
		const { trialRun } = await connection.trials.getTrialRun({ trialId, trialRunId }, options);
		return trialRun?.state;
	} catch (error) {
		// The workers say that they did what they were started for, and the server will tell whoever asks later.
		if (isMillraceError(error)) {
			return undefined;
		}
		throw error;
	} finally {
		connection?.close();
	}
}
