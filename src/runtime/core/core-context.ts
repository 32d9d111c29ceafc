import { MillraceError } from "../../errors.js";
import type { JsonObject } from "../../sdk/json.js";
import type { DistributedContext } from "../distributed/distributed-context.js";
import type { EnteredRun } from "../enter-run.js";
import { PendingWork } from "../pending-work.js";
import type { RunInfo } from "../processor-context.js";
import { finishBarrier, stepBarrier } from "../run-barriers.js";
import { CheckpointContext } from "./checkpoint-context.js";
import { ExperimentalContext } from "./experimental-context.js";
import type { LatestCheckpoint } from "./latest-checkpoint.js";
import type { Party } from "./party.js";
import { PreemptContext, type PreemptMode } from "./preempt-context.js";
import { TrainContext } from "./train-context.js";

/** What a run is part of, and what it goes on with. Python: `det.get_cluster_info()` */
export interface CoreInfo extends RunInfo {
	/**
	 * The UUID of the trial's COMPLETED checkpoint with the most steps when this run started, the newest of several;
	 * null if there was none.
	 */
	readonly latestCheckpoint: string | null;
	/** The steps_completed of that checkpoint; null if there was none. */
	readonly stepsCompleted: number | null;
}

/**
 * What a script with a loop of its own works with, from `core.init`.
 *
 * Every method throws `aborted` once the run has ended, as when another worker is lost; the message names its rank and
 * host.
 *
 * Python: `core.Context`
 */
export class CoreContext {
	/** Reports of metrics, progress and status. */
	readonly train: TrainContext;
	/** The trial's checkpoints. */
	readonly checkpoint: CheckpointContext;
	/** Whether to stop. */
	readonly preempt: PreemptContext;
	/** Which worker this is, and what the workers tell each other. */
	readonly distributed: DistributedContext;
	/** What this run is part of. */
	readonly info: CoreInfo;
	/** Links to what the trial uses. */
	readonly experimental: ExperimentalContext;
	/** Aborted when the run ends before this worker's work; its reason is the error that says why. */
	readonly signal: AbortSignal;
	readonly #entered: EnteredRun;
	readonly #party: Party;
	readonly #pending = new PendingWork();
	readonly #onFailed: () => void;
	#closing: Promise<void> | undefined;

	/** @internal For the runtime's own use. */
	constructor(
		entered: EnteredRun,
		options: {
			readonly distributed: DistributedContext;
			readonly preemptMode: PreemptMode;
			/** For what the trial's own do not say. */
			readonly hparams: JsonObject;
			readonly latest: LatestCheckpoint;
			readonly party: Party;
			/** Called when the run has failed. */
			readonly onFailed: () => void;
		},
	) {
		const { run } = entered;
		const { distributed, party } = options;
		const assertOpen = () => this.#assertOpen();
		this.#entered = entered;
		this.#party = party;
		this.#onFailed = options.onFailed;
		this.signal = run.rendezvous.signal;
		this.distributed = distributed;
		this.info = {
			trialId: run.trial.id,
			trialRunId: run.member.trialRunId,
			experimentId: run.trial.experimentId,
			config: run.config,
			hparams: { ...options.hparams, ...run.trial.hparams },
			...options.latest,
		};
		this.train = new TrainContext(run, this.#pending, assertOpen);
		this.checkpoint = new CheckpointContext(run, distributed, this.#pending, assertOpen);
		this.preempt = new PreemptContext(run, party, options.preemptMode, assertOpen);
		this.experimental = new ExperimentalContext(run, this.#pending, assertOpen);
	}

	/**
	 * Ends this worker's part of the run, once. Without an error it waits for all that was reported, and for all other
	 * workers; then the run is COMPLETED, or PREEMPTED if they stop because they were asked to. With an error the run has
	 * failed for that, and nobody is waited for.
	 *
	 * Throws, if called without an error, why the run has failed: what went wrong with a report that nobody awaited, or
	 * `aborted` if another worker is lost.
	 *
	 * Python: `Context.close(exc_type, exc_val, exc_tb)`
	 */
	close(error?: unknown): Promise<void> {
		this.#closing ??= error === undefined ? this.#end() : this.#fail(error).then(() => {});
		return this.#closing;
	}

	/** @internal Ends it as failed, and returns why: what was given, unless the run has ended for another reason. */
	async fail(error: unknown): Promise<unknown> {
		if (this.#closing !== undefined) {
			// It may be what close threw.
			await this.#closing.catch(() => {});
			return error;
		}
		const failed = this.#fail(error);
		this.#closing = failed.then(() => {});
		return failed;
	}

	async #end(): Promise<void> {
		const { run } = this.#entered;
		try {
			await this.#pending.settle();
			const stopped = await this.#party.all("the end of the script", () => this.preempt.isAcknowledged);
			if (stopped.includes(true)) {
				await this.#party.first("the end of the script, as asked", () => this.#keepAsked());
				await stepBarrier(run.rendezvous, false);
				run.process.tellPreempted();
			} else {
				await finishBarrier(run.rendezvous, []);
			}
		} catch (error) {
			const cause = await this.#entered.fail(error);
			this.#onFailed();
			throw cause;
		} finally {
			await this.#entered.close();
		}
	}

	/** Whoever asked may have taken it back, but the script has stopped, and is not done. */
	async #keepAsked(): Promise<null> {
		const { connection, member } = this.#entered.run;
		const { trialId, trialRunId } = member;
		await connection.trials.preemptTrialRun({ trialId, trialRunId, reason: "its workers were asked to stop" });
		return null;
	}

	async #fail(error: unknown): Promise<unknown> {
		try {
			return await this.#entered.fail(error);
		} finally {
			this.#onFailed();
			await this.#entered.close();
		}
	}

	#assertOpen(): void {
		this.signal.throwIfAborted();
		if (this.#closing !== undefined) {
			throw new MillraceError("failed_precondition", "the context of core.init is closed; its run has ended");
		}
	}
}
