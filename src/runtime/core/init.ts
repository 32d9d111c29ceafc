import { MillraceError } from "../../errors.js";
import { type EnteredRun, enterRun } from "../enter-run.js";
import type { FinishedTrial } from "../join-run.js";
import { claimTrial } from "../once-per-trial.js";
import { ownProcess } from "../worker-process.js";
import { CoreContext } from "./core-context.js";
import { type CoreOptions, type CoreSettings, checkCoreOptions } from "./core-options.js";
import { findLatestCheckpoint } from "./latest-checkpoint.js";
import { Party } from "./party.js";

/** A script's own loop. */
export type CoreCallback<T> = (context: CoreContext) => T | Promise<T>;

/**
 * Runs a script's own loop as one worker of a trial run, and returns what it returns. Started by `millrace run`, by
 * `millrace launch`, torchrun, mpirun, srun or as a Kubernetes Indexed Job with MILLRACE_TRIAL_ID, it joins that trial;
 * alone it makes an experiment and a trial of its own. A process calls it once for a trial.
 *
 * The trial is COMPLETED when the loops of all workers have returned, which they wait for. It has failed when one throws,
 * and PREEMPTED when they return because `context.preempt.shouldPreempt()` said so: another run can go on from
 * `context.info.latestCheckpoint`. For a trial that was completed before, undefined is returned at once.
 *
 * Throws what the loop throws; `aborted` if another worker fails or is lost: the message names its rank and host; what
 * went wrong with a report that nobody awaited; `failed_precondition` if the trial permits no run.
 *
 * Python: `determined.core.init()`
 *
 * @example
 * ```ts
 * import { core } from "millrace/runtime";
 *
 * await core.init(async ({ train, checkpoint, preempt }) => {
 * 	for (let step = 1; step <= 100; step++) {
 * 		await train.reportTrainingMetrics(step, { loss: 1 / step });
 * 		await checkpoint.upload("weights", { steps_completed: step });
 * 		if (await preempt.shouldPreempt()) {
 * 			return;
 * 		}
 * 	}
 * });
 * ```
 */
export function init<T>(callback: CoreCallback<T>, options?: CoreOptions): Promise<T | undefined>;
/**
 * As with a callback, for scripts that cannot have one: they have to call `context.close()` at their end, or
 * `context.close(error)` when they fail. Throws `failed_precondition` for a trial that was completed before.
 */
export function init(options?: CoreOptions): Promise<CoreContext>;
export async function init(first?: CoreCallback<unknown> | CoreOptions, second?: CoreOptions): Promise<unknown> {
	const callback = typeof first === "function" ? first : undefined;
	const options = typeof first === "function" ? second : first;
	if (callback === undefined && typeof second === "function") {
		throw new MillraceError("invalid_argument", "the callback of core.init comes first: core.init(callback, options)");
	}
	const opened = await open(checkCoreOptions(options ?? {}));
	if (callback !== undefined) {
		return opened instanceof CoreContext ? runIn(opened, callback) : undefined;
	}
	if (opened instanceof CoreContext) {
		return opened;
	}
	throw new MillraceError("failed_precondition", `trial ${opened.trialId} is completed; create another trial`);
}

async function runIn<T>(context: CoreContext, callback: CoreCallback<T>): Promise<T> {
	let result: T;
	try {
		result = await untilAborted(context.signal, callback(context));
	} catch (error) {
		throw await context.fail(error);
	}
	await context.close();
	return result;
}

/** Nobody waits for a loop whose run has ended. */
async function untilAborted<T>(signal: AbortSignal, work: T | Promise<T>): Promise<T> {
	let onAbort = () => {};
	const aborted = new Promise<never>((_resolve, reject) => {
		onAbort = () => reject(signal.reason);
		signal.addEventListener("abort", onAbort, { once: true });
		if (signal.aborted) {
			onAbort();
		}
	});
	try {
		return await Promise.race([aborted, work]);
	} finally {
		signal.removeEventListener("abort", onAbort);
	}
}

async function open(settings: CoreSettings): Promise<CoreContext | FinishedTrial> {
	const takeBack = claimTrial("core.init");
	let entered: EnteredRun | FinishedTrial | undefined;
	try {
		entered = await enterRun(settings, ownProcess("call of shouldPreempt"));
		if (entered.kind === "finished") {
			return entered;
		}
		const { distributed, preemptMode, hparams } = settings;
		const party = Party.ofWorld(entered.run.rendezvous, distributed);
		const latest = await findLatestCheckpoint(entered.run, party);
		return new CoreContext(entered, { distributed, preemptMode, hparams, latest, party, onFailed: takeBack });
	} catch (error) {
		takeBack();
		if (entered?.kind !== "entered") {
			throw error;
		}
		const cause = await entered.fail(error);
		await entered.close();
		throw cause;
	}
}
