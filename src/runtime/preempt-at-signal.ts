import { hostname } from "node:os";
import { isMillraceError, messageOf } from "../errors.js";
import { signalExitCode } from "../exit-codes.js";
import { onStopSignals } from "../stop-signals.js";
import type { JoinedRun } from "./join-run.js";

/**
 * Lets the first SIGTERM or SIGINT ask the server to preempt the run, so that all its workers commit and stop
 * together at the next commit; another one, later, ends this process. Returns what leaves the signals to Node
 * again.
 */
export function preemptAtSignal(run: JoinedRun): () => void {
	const signals = onStopSignals({ names: ["SIGTERM", "SIGINT"] });
	let isAsked = false;
	signals.deliver((signal) => {
		if (isAsked) {
			process.exit(signalExitCode(signal));
		}
		isAsked = true;
		console.error(`millrace: ${signal}: stopping at the next commit; again to end at once`);
		void askToPreempt(run, signal);
	});
	return () => signals.release();
}

async function askToPreempt({ connection, member }: JoinedRun, signal: NodeJS.Signals): Promise<void> {
	const { trialId, trialRunId, rank } = member;
	const reason = `${signal} to rank ${rank} on ${hostname()}`;
	try {
		await connection.trials.preemptTrialRun({ trialId, trialRunId, reason });
	} catch (error) {
		// The run may have ended meanwhile, and the connection with it.
		if (isMillraceError(error, "cancelled")) {
			return;
		}
		console.error(`millrace: the server was not asked to stop run ${trialRunId}: ${messageOf(error)}`);
	}
}
