import { randomUUID } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { MillraceError } from "../errors.js";
import { type ExperimentConfig, hparamsOf } from "../experiment-config.js";
import { type Trial, TrialState } from "../gen/millrace/v1/trial_pb.js";
import type { Connection } from "../sdk/connection.js";
import { given } from "./given.js";

/** Records an experiment with one trial, and returns the trial. */
export async function createTrial({ experiments, trials }: Connection, config: ExperimentConfig): Promise<Trial> {
	const { experiment } = await experiments.createExperiment({ requestId: randomUUID(), config });
	const { trial } = await trials.createTrial({
		requestId: randomUUID(),
		experimentId: given(experiment).id,
		hparams: hparamsOf(config),
		maxRestarts: config.max_restarts,
	});
	return given(trial);
}

/**
 * Returns a trial that is to go on: one that is paused or has failed is active then, with `retryErrors` also one that
 * is completed. `warn` is told where the experiment's file says something else than was recorded, which counts.
 *
 * Throws `not_found` if there is no such trial, `failed_precondition` if it is canceled or belongs to an experiment
 * with another name, or its errors are to be retried and a run is open.
 */
export async function resumeTrial(
	{ experiments, trials }: Connection,
	trialId: number,
	config: ExperimentConfig,
	options: { retryErrors: boolean; warn: (text: string) => void },
): Promise<Trial> {
	const trial = given((await trials.getTrial({ trialId })).trial);
	if (trial.state === TrialState.CANCELED) {
		throw new MillraceError(
			"failed_precondition",
			`trial ${trialId} is canceled, which is final; run without --trial to start another`,
		);
	}
	const { experiment } = await experiments.getExperiment({ experimentId: trial.experimentId });
	const { name, config: recordedConfig } = given(experiment);
	if (name !== config.name) {
		throw new MillraceError(
			"failed_precondition",
			`trial ${trialId} belongs to the experiment "${name}", but the file describes "${config.name}"; ` +
				"give the file of that experiment, or run without --trial to start another",
		);
	}
	for (const difference of differences(recordedConfig, trial, config)) {
		options.warn(difference);
	}
	if (options.retryErrors) {
		const { trial: reopened, removedCount } = await trials.retryTrialErrors({ requestId: randomUUID(), trialId });
		if (removedCount > 0n) {
			return given(reopened);
		}
	}
	if (trial.state === TrialState.PAUSED || trial.state === TrialState.ERROR) {
		return given((await trials.activateTrial({ trialId })).trial);
	}
	return trial;
}

/** Says what the file has otherwise than the experiment, whose configuration is `experimentConfig`, and the trial. */
function differences(experimentConfig: unknown, trial: Trial, config: ExperimentConfig): string[] {
	const texts: string[] = [];
	const { entrypoint } = (experimentConfig ?? {}) as { readonly entrypoint?: unknown };
	if (entrypoint !== undefined && !isDeepStrictEqual(entrypoint, config.entrypoint)) {
		texts.push(
			`entrypoint is ${shown(config.entrypoint)} in the file, which is run, but trial ${trial.id} was recorded ` +
				`with ${shown(entrypoint)}`,
		);
	}
	const recorded: Readonly<Record<string, unknown>> = trial.hparams ?? {};
	const wanted: Readonly<Record<string, unknown>> = hparamsOf(config);
	for (const key of new Set([...Object.keys(recorded), ...Object.keys(wanted)])) {
		if (!isDeepStrictEqual(recorded[key], wanted[key])) {
			texts.push(
				`hyperparameter ${key} is ${shown(wanted[key])} in the file, but ${shown(recorded[key])} in trial ${trial.id}, ` +
					"which keeps it; run without --trial to start another",
			);
		}
	}
	return texts;
}

function shown(value: unknown): string {
	return value === undefined ? "not there" : JSON.stringify(value);
}
