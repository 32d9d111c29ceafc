import { isMillraceError, type MillraceError } from "../errors.js";
import type { TrialRun } from "../gen/millrace/v1/trial_pb.js";
import type { Connection } from "../sdk/connection.js";

/** How often the server is told while it has not said how long its lease is, in milliseconds. */
const firstBeatMs = 1_000;

/** The proof, towards the server, that the owner of a run is alive. */
export class RunLease {
	readonly #closed = new AbortController();
	#timer: NodeJS.Timeout | undefined;

	/**
	 * Tells the server so, five times in each lease, until it is closed. `onLost` is called once if the run is no
	 * longer ours, as after this process was frozen, with the error that says why.
	 */
	constructor(
		connection: Connection,
		{ trialId, trialRunId }: TrialRun,
		ownerUuid: string,
		onLost: (why: MillraceError) => void,
	) {
		const { signal } = this.#closed;
		const beat = async () => {
			let beatMs = firstBeatMs;
			try {
				// One beat that is lost does no harm, so none is repeated.
				const options = { retryMs: 0, signal: AbortSignal.any([signal, AbortSignal.timeout(firstBeatMs * 3)]) };
				const { leaseMs } = await connection.trials.keepTrialRun({ trialId, trialRunId, ownerUuid }, options);
				beatMs = leaseMs / 5;
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
