import type { Storage } from "../../gen/millrace/v1/storage_pb.js";
import type { TrialRunState } from "../../gen/millrace/v1/trial_pb.js";
import type { RunActivity } from "../../rendezvous/activity.js";
import type { CheckpointFiles } from "../checkpoint-files.js";
import type { Database } from "../db/database.js";
import type { OutputRemovals } from "../output-removals.js";
import type { RunOwners } from "../run-owners.js";

/** What the services work with. */
export interface ServiceContext {
	readonly db: Database;
	/** Where files are kept whose experiment names no storage. */
	readonly defaultStorage: Storage;
	/** The files of checkpoints, as far as this server reaches them. */
	readonly checkpointFiles: CheckpointFiles;
	/** Removes the output files of trials that were deleted. */
	readonly outputRemovals: OutputRemovals;
	/** Who owns the open runs. */
	readonly owners: RunOwners;
	/** Tells what the members of a run are at; undefined if none was here since this server's start, or it has ended. */
	runActivity(trialId: number, trialRunId: number): RunActivity | undefined;
	/** Tells the members of a run that it was closed by someone else. */
	runClosed(trialId: number, trialRunId: number, state: TrialRunState, reason: string): void;
}
