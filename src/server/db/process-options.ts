import { MillraceError } from "../../errors.js";
import { ErrorPolicy, type ProcessOptions } from "../../gen/millrace/v1/progress_pb.js";
import type { Member } from "../../gen/millrace/v1/trial_pb.js";
import type { Transaction } from "./database.js";
import type { TrialRunRow } from "./trial-runs.js";

/** The options in which the workers of a run agree, as the run's row has them. */
export interface RunOptions {
	readonly batch_size: number;
	readonly checkpoint_interval: number;
	/** What becomes of an error of the user's code. */
	readonly on_error: "FAIL" | "SKIP";
	/** The most records of the trial that may fail; null for no limit. */
	readonly max_errors: number | null;
}

/**
 * Records the options of a run's first worker, or compares those of another one with them.
 *
 * Throws `failed_precondition` where they differ, naming both.
 */
export async function agreeOnOptions(
	tx: Transaction,
	member: Member,
	run: TrialRunRow,
	options: ProcessOptions,
): Promise<void> {
	const given = toRunOptions(options);
	const first = optionsOf(run);
	if (first === undefined) {
		await tx.run(
			"UPDATE trial_runs SET options = ?, options_rank = ? WHERE trial_id = ? AND trial_run_id = ?",
			JSON.stringify(given),
			member.rank,
			member.trialId,
			member.trialRunId,
		);
		return;
	}
	const field = (Object.keys(given) as (keyof RunOptions)[]).find((name) => given[name] !== first[name]);
	if (field !== undefined) {
		throw new MillraceError(
			"failed_precondition",
			`${field} is ${given[field] ?? "unset"} on rank ${member.rank}, but ${first[field] ?? "unset"} on rank ` +
				`${run.options_rank}; give all workers the same options`,
		);
	}
}

/** Returns the options of a run, or undefined before a worker has told its own. */
export function optionsOf(run: Pick<TrialRunRow, "options">): RunOptions | undefined {
	if (run.options === null) {
		return undefined;
	}
	// A run that an older version started has no error policy.
	const older: Partial<RunOptions> = { on_error: "FAIL", max_errors: null };
	return { ...older, ...(JSON.parse(run.options) as RunOptions) };
}

function toRunOptions({ batchSize, checkpointInterval, onError, maxErrors }: ProcessOptions): RunOptions {
	return {
		batch_size: batchSize,
		checkpoint_interval: checkpointInterval,
		on_error: onError === ErrorPolicy.SKIP ? "SKIP" : "FAIL",
		max_errors: maxErrors === undefined ? null : Number(maxErrors),
	};
}
