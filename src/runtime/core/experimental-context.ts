import {
	checkpointSource,
	type LinkedCheckpoint,
	type LinkedVersion,
	type LinkSource,
	versionSource,
} from "../../sdk/trial-source.js";
import type { JoinedRun } from "../join-run.js";
import type { PendingWork } from "../pending-work.js";

/**
 * Links of the trial to what it uses, so that its metrics are found by that.
 *
 * Python: `ExperimentalCoreContext`
 */
export class ExperimentalContext {
	readonly #run: JoinedRun;
	readonly #pending: PendingWork;
	readonly #assertOpen: () => void;

	/** @internal For the runtime's own use. */
	constructor(run: JoinedRun, pending: PendingWork, assertOpen: () => void) {
		this.#run = run;
		this.#pending = pending;
		this.#assertOpen = assertOpen;
	}

	/**
	 * Links the trial to the checkpoint that it uses, given itself or as its UUID. `client.getCheckpoint(uuid)` may be given
	 * without awaiting it.
	 *
	 * Throws `not_found` if there is no such checkpoint, `invalid_argument` if it is none.
	 *
	 * Python: `report_task_using_checkpoint(checkpoint)`
	 */
	reportTaskUsingCheckpoint(checkpoint: string | LinkedCheckpoint | PromiseLike<LinkedCheckpoint>): Promise<void> {
		return this.#link(() => checkpointSource(checkpoint));
	}

	/**
	 * Links the trial to the model version that it uses. `client.getModel(name).getVersion()` may be given without
	 * awaiting it.
	 *
	 * Throws `not_found` if there is no such version, `invalid_argument` if it is none.
	 *
	 * Python: `report_task_using_model_version(model_version)`
	 */
	reportTaskUsingModelVersion(version: LinkedVersion | PromiseLike<LinkedVersion | null>): Promise<void> {
		return this.#link(() => versionSource(version));
	}

	#link(sourceOf: () => Promise<LinkSource>): Promise<void> {
		this.#assertOpen();
		const { connection, member } = this.#run;
		const link = async () => {
			await connection.trials.reportTrialSourceInfo({ trialId: member.trialId, source: await sourceOf() });
		};
		return this.#pending.track(link());
	}
}
