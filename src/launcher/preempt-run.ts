import { hostname } from "node:os";
import { connect } from "../sdk/connect.js";
import type { Connection } from "../sdk/connection.js";
import { given } from "./given.js";
import { stopsByItself } from "./stops-by-itself.js";

/** How long the server may take to answer, in milliseconds. */
const answerMs = 3_000;

/**
 * Asks the server to preempt the newest run of the environment's trial. Returns whether its workers will learn of
 * it from the server; if not, or if the server does not answer, they have to be told by a signal.
 */
export async function preemptRun(
	signal: NodeJS.Signals,
	environment: NodeJS.ProcessEnv = process.env,
): Promise<boolean> {
	const trialId = Number(environment.MILLRACE_TRIAL_ID);
	if (!Number.isInteger(trialId) || trialId < 1) {
		return false;
	}
	let connection: Connection | undefined;
	try {
		connection = await connect({}, environment);
		const options = { retryMs: 0, signal: AbortSignal.timeout(answerMs) };
		const { trial } = await connection.trials.getTrial({ trialId }, options);
		const reason = `${signal} to millrace launch on ${hostname()}`;
		const request = { trialId, trialRunId: given(trial).trialRunId, reason };
		const { trialRun } = await connection.trials.preemptTrialRun(request, options);
		return await stopsByItself(connection, given(trialRun));
	} catch {
		return false;
	} finally {
		connection?.close();
	}
}
