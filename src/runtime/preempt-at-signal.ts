import { hostname } from "node:os";
import { isMillraceError, messageOf } from "../errors.js";
import { signalExitCode } from "../exit-codes.js";
import { onStopSignals } from "../stop-signals.js";
import type { JoinedRun } from "./join-run.js";

/**
 * Lets the first SIGTERM or SIGINT ask the server to preempt the run, so that all its workers stop together at the
 * next `stop`, as messages call it; another one, later, ends this process. Where no launcher does, so does the end of
 * the grace, in milliseconds. Returns what leaves the signals to Node again.
 */
export function preemptAtSignal(run: JoinedRun, graceMs: number, stop = "commit"): () => void {
	const hasLauncher = process.env.MILLRACE_PARENT_PIPE !== undefined;
	const signals = onStopSignals({ names: ["SIGTERM", "SIGINT"] });
	let timer: NodeJS.Timeout | undefined;
	let isAsked = false;
	signals.deliver((signal) => {
		if (isAsked) {
			process.exit(signalExitCode(signal));
		}
		isAsked = true;
		console.error(`millrace: ${signal}: stopping at the next ${stop}; again to end at once`);
		if (!hasLauncher) {
			timer = setTimeout(() => {
				console.error(`millrace: no ${stop} within ${graceMs / 1_000} s of ${signal}: ending now`);
				process.exit(signalExitCode(signal));
			}, graceMs);
		}
		void askToPreempt(run, signal);
	});
	return () => {
		clearTimeout(timer);
		signals.release();
	};
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
