import { memberInThisThread } from "../rendezvous/client.js";
import { noLogs } from "../runtime/keep-logs.js";
import type { WorkerProcess } from "../runtime/worker-process.js";

/** A worker that is one of several in the process of a test, of which it touches nothing. */
export interface TestedWorker extends WorkerProcess {
	/** Whether it has ended because its run had: another worker is the cause. */
	readonly isAborted: boolean;
}

/** Makes a worker of a trial. */
export function testedWorker(trialId: number): TestedWorker {
	let isAborted = false;
	return {
		get isAborted() {
			return isAborted;
		},
		named: { trialId, trialRunId: 0 },
		status: {
			setBatch: () => {},
			setAborted: () => {
				isAborted = true;
			},
		},
		holdMember: () => memberInThisThread,
		handleSignals: () => () => {},
		keepLogs: () => noLogs,
		tellPreempted: () => {},
	};
}
