import { isMillraceError, type MillraceError } from "../errors.js";
import { type TrialRun, TrialRunState } from "../gen/millrace/v1/trial_pb.js";
import type { Connection } from "../sdk/connection.js";

/** How often the server is told while it has not said how long its lease is, in milliseconds. */
const firstBeatMs = 1_000;

/** What the owner of a run learns while it keeps it. Each is called once at most. */
export interface RunLeaseEvents {
	/** The run is no longer ours, as after this process was frozen; the error says why. */
	onLost(why: MillraceError): void;
	/** The run has failed, or was killed. Whoever still works for it does so in vain. */
	onFailed(): void;
}

/** The proof, towards the server, that the owner of a run is alive. */
export class RunLease {
	readonly #closed = new AbortController();
	#timer: NodeJS.Timeout | undefined;

	/** Tells the server so, five times in each lease, until it is closed. */
	constructor(
		connection: Connection,
		{ trialId, trialRunId }: TrialRun,
		ownerUuid: string,
		{ onLost, onFailed }: RunLeaseEvents,
	) {
		const { signal } = this.#closed;
		let hasFailed = false;
		const beat = async () => {
			let beatMs = firstBeatMs;
			try {
				// One beat that is lost does no harm, so none is repeated.
				const options = { retryMs: 0, signal: AbortSignal.any([signal, AbortSignal.timeout(firstBeatMs * 3)]) };
				const answer = await connection.trials.keepTrialRun({ trialId, trialRunId, ownerUuid }, options);
				beatMs = answer.leaseMs / 5;
				if (!hasFailed && !signal.aborted && isFailed(answer.trialRun)) {
					hasFailed = true;
					onFailed();
				}
			} catch (error) {
				if (isMillraceError(error, "failed_precondition") && !signal.aborted) {
					this.close();
					onLost(error);
				}
			}
			if (!signal.aborted) {
				this.#timer = setTimeout(beat, beatMs);
			}
		};
		void beat();
	}

	/** Tells nothing any more. */
	close(): void {
		clearTimeout(this.#timer);
		this.#closed.abort();
	}
}

/** Tells whether a run ended before its work. After another end the entrypoint may have something to do by itself. */
function isFailed(run: TrialRun | undefined): boolean {
	return run?.state === TrialRunState.FAILED || run?.state === TrialRunState.KILLED;
}
