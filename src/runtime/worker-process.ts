import { exitCodes } from "../exit-codes.js";
import { graceMs } from "../grace.js";
import { watchParentPipe } from "../parent-pipe.js";
import type { MemberHolder } from "../rendezvous/client.js";
import { startMemberThread } from "../rendezvous/thread-member.js";
import { idFromEnvironment } from "./id-from-environment.js";
import type { JoinedRun } from "./join-run.js";
import { type KeptLogs, keepLogs } from "./keep-logs.js";
import { preemptAtSignal } from "./preempt-at-signal.js";
import { type WorkerStatusSink, workerStatusFile } from "./worker-status-file.js";

/** What a worker has to do with the process that it is in. A test has several workers in one, which touch nothing of it. */
export interface WorkerProcess {
	/** The trial to work on, and its run, 0 for the next; undefined for a trial of its own. */
	readonly named: { readonly trialId: number; readonly trialRunId: number } | undefined;
	/** Who is told what the worker is at. */
	readonly status: WorkerStatusSink;
	/** Makes the holder of the worker's place in the run. */
	holdMember(): MemberHolder;
	/** Lets the process's signals reach the run. Returns what ends that. */
	handleSignals(run: JoinedRun): () => void;
	/** Keeps what the worker prints, and the error that ends it. */
	keepLogs(run: JoinedRun): KeptLogs;
	/** Says that the work can go on later. */
	tellPreempted(): void;
}

/**
 * This process, as the worker that its environment says it is. It ends when its launcher does.
 *
 * @param stop As for `preemptAtSignal`.
 *
 * Throws `invalid_argument` if the environment is malformed.
 */
export function ownProcess(stop?: string): WorkerProcess {
	const allowedMs = graceMs();
	watchParentPipe(() => process.exit(exitCodes.parentLost));
	const trialId = idFromEnvironment("MILLRACE_TRIAL_ID");
	const trialRunId = idFromEnvironment("MILLRACE_TRIAL_RUN_ID") ?? 0;
	return {
		named: trialId === undefined ? undefined : { trialId, trialRunId },
		status: workerStatusFile,
		holdMember: startMemberThread,
		handleSignals: (run) => preemptAtSignal(run, allowedMs, stop),
		keepLogs: ({ connection, member }) => keepLogs(connection, member),
		tellPreempted: () => {
			// A launcher speaks for its workers.
			if (process.env.MILLRACE_PARENT_PIPE === undefined) {
				process.exitCode = exitCodes.preempted;
			}
		},
	};
}
