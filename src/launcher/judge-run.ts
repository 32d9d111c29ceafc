import { exitCodes, signalExitCode } from "../exit-codes.js";
import { type Trial, type TrialRun, TrialRunDecision, TrialRunState, TrialState } from "../gen/millrace/v1/trial_pb.js";
import type { EndTrialRunResponse } from "../gen/millrace/v1/trial_service_pb.js";
import { given } from "./given.js";
import { exitCodeOf } from "./process-end.js";
import type { ProcessEnd } from "./process-group.js";
import { count } from "./progress-line.js";
import { errorsCommand, type TrialPlace } from "./resume-command.js";

/** How a run ended, besides what the server says of it. */
export interface RunCircumstances {
	/** How the entrypoint ended. */
	readonly end: ProcessEnd;
	/** The signal that made us end it. */
	readonly interruptedBy: NodeJS.Signals | undefined;
	/** Where the trial is remembered. */
	readonly place: TrialPlace;
	/** How long all runs took. */
	readonly seconds: number;
}

/** The last word on a trial. */
export interface FinalWord {
	readonly exitCode: number;
	/** What to say, without the end of the line. */
	readonly line: string;
	/** Whether it makes sense to tell how the trial goes on. */
	readonly canGoOn: boolean;
}

/** Says how a trial ended with one of its runs; undefined if another run follows. */
export function judgeRun(
	answer: EndTrialRunResponse,
	{ end, interruptedBy, place, seconds }: RunCircumstances,
): FinalWord | undefined {
	const trial = given(answer.trial);
	const run = given(answer.trialRun);
	const name = `experiment ${trial.experimentId}, trial ${trial.id}`;
	const done = count(Number(trial.recordsDone));
	const total = count(Number(trial.recordsTotal));
	const behind = count(Number(trial.recordsDone + trial.recordsFailed));
	const failed = trial.recordsFailed === 0n ? "" : `, ${count(Number(trial.recordsFailed))} of them failed,`;
	const records = trial.recordsTotal === 0n ? "" : `${behind} of ${total} records${failed} in `;
	const part = `${records}${seconds.toFixed(1)} s`;
	// A script with a loop of its own has no records.
	const work = trial.recordsTotal === 0n ? "" : `: ${done} records`;
	switch (answer.decision) {
		case TrialRunDecision.DONE:
			return {
				exitCode: exitCodes.done,
				line: `${name} completed${work} in ${seconds.toFixed(1)} s${failedPart(trial, place)}`,
				canGoOn: false,
			};
		case TrialRunDecision.PREEMPTED:
			if (interruptedBy !== undefined && run.state === TrialRunState.FAILED) {
				// The trial is paused, but because we ended its run.
				break;
			}
			return {
				exitCode: exitCodes.preempted,
				line:
					run.state === TrialRunState.FAILED
						? `${name} was paused after ${part}: ${run.reason}`
						: `${name} was preempted after ${part}`,
				canGoOn: true,
			};
		case TrialRunDecision.KILLED:
		case TrialRunDecision.UNSPECIFIED: {
			// One that was canceled was asked to end, and has; only a kill came to its run in the middle.
			const isCanceled = run.state !== TrialRunState.KILLED;
			const why = run.state === TrialRunState.FAILED ? `its last run failed: ${run.reason}` : run.reason;
			return {
				exitCode: signalExitCode(interruptedBy ?? (isCanceled ? "SIGTERM" : "SIGKILL")),
				line: `${name} was ${isCanceled ? "canceled" : "killed"} after ${part}: ${why}`,
				canGoOn: false,
			};
		}
		case TrialRunDecision.RESTART:
		case TrialRunDecision.FAILED:
			break;
	}
	if (interruptedBy !== undefined) {
		const isUsedUp = trial.state === TrialState.ERROR && run.joinedCount > 0;
		const state = isUsedUp ? `; ${whyNoRestart(trial, run)}` : "";
		return {
			exitCode: signalExitCode(interruptedBy),
			line: `${name} was interrupted after ${part}: ${run.reason}${state}`,
			canGoOn: true,
		};
	}
	if (answer.decision === TrialRunDecision.RESTART) {
		return undefined;
	}
	return {
		exitCode: failureExitCode(run, end),
		line: `${name} failed after ${part}: ${run.reason}; ${whyNoRestart(trial, run)}${failedPart(trial, place)}`,
		// Where nothing was done and no worker joined, the entrypoint must be mended, and nothing is lost.
		canGoOn: run.joinedCount > 0 || trial.recordsDone > 0n,
	};
}

/** Says how many records were left out, and how to see them. */
function failedPart({ id, recordsFailed }: Trial, place: TrialPlace): string {
	const failed = `${count(Number(recordsFailed))} ${recordsFailed === 1n ? "record" : "records"} failed`;
	const was = recordsFailed === 1n ? "was" : "were";
	return recordsFailed === 0n ? "" : `; ${failed} and ${was} skipped: see ${errorsCommand(id, place)}`;
}

function whyNoRestart(trial: Trial, run: TrialRun): string {
	if (run.joinedCount === 0) {
		return "no worker joined the run, so it is not started again";
	}
	if (trial.maxRestarts === 0) {
		return "max_restarts is 0";
	}
	return trial.maxRestarts === 1 ? "its one restart is used up" : `all ${trial.maxRestarts} restarts are used up`;
}

function failureExitCode(run: TrialRun, end: ProcessEnd): number {
	const isUsage = end.code === exitCodes.usage || end.code === 126 || end.code === 127;
	if (isUsage && run.joinedCount === 0) {
		return exitCodes.usage;
	}
	const code = exitCodeOf(end);
	return code > 128 ? code : exitCodes.failed;
}
