import { isMillraceError, messageOf } from "../errors.js";
import { sleep } from "../rpc/retry.js";
import { type FinishedTrial, type JoinedRun, type JoinOptions, joinRun } from "./join-run.js";
import type { WorkerProcess } from "./worker-process.js";

/** A run that this worker is in, with its end. */
export interface EnteredRun {
	readonly kind: "entered";
	readonly run: JoinedRun;
	/** Leaves the run, which has failed, and returns why: if the run has ended, that is why everything in it fails. */
	fail(error: unknown): Promise<unknown>;
	/**
	 * Gives signals, output and connections back. After a run that has ended, or was left, nobody misses this worker;
	 * what it has printed is waited for, for a bounded time.
	 */
	close(): Promise<void>;
}

/** How long the news that a run was closed may take after a refused write, in milliseconds. */
const newsMs = 1_000;

/** Joins the run as `joinRun` does, lets signals reach it, and keeps what is printed from then on. */
export async function enterRun(
	options: JoinOptions,
	workerProcess: WorkerProcess,
): Promise<EnteredRun | FinishedTrial> {
	const run = await joinRun(options, workerProcess).catch((error) => {
		if (isMillraceError(error, "deadline_exceeded")) {
			// The cause is a worker that did not come.
			workerProcess.status.setAborted();
		}
		throw error;
	});
	if (run.kind === "finished") {
		return run;
	}
	const { rendezvous, connection } = run;
	const releaseSignals = workerProcess.handleSignals(run);
	const log = workerProcess.keepLogs(run);
	return {
		kind: "entered",
		run,
		async fail(error) {
			if (isMillraceError(error, "failed_precondition")) {
				// So a write is refused when the run has just been closed; then the news of that is on its way.
				await sleep(newsMs, rendezvous.signal).catch(() => {});
			}
			const cause = rendezvous.signal.aborted ? rendezvous.signal.reason : error;
			if (rendezvous.signal.aborted) {
				workerProcess.status.setAborted();
			}
			log.keepError(cause);
			await rendezvous.leave(messageOf(cause));
			return cause;
		},
		async close() {
			releaseSignals();
			rendezvous.close();
			await log.close();
			connection.close();
		},
	};
}
