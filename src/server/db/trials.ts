import { randomUUID } from "node:crypto";
import { create, type JsonObject } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { MillraceError } from "../../errors.js";
import type { Storage } from "../../gen/millrace/v1/storage_pb.js";
import { type Trial, TrialSchema, TrialState } from "../../gen/millrace/v1/trial_pb.js";
import { shownSummary } from "../summary-text.js";
import type { Reader, Transaction } from "./database.js";
import { enumValue } from "./enum-name.js";
import { assertNotArchived } from "./experiments.js";
import { fromObject, toObject, toStorage, toTimestamp } from "./json-column.js";

/** A row of the table trials. */
export interface TrialRow {
	readonly id: number;
	readonly experiment_id: number;
	readonly hparams: string;
	readonly state: keyof typeof TrialState;
	readonly restarts: number;
	readonly max_restarts: number;
	readonly trial_run_id: number;
	readonly pause_requested: number;
	readonly storage: string;
	readonly output_uuid: string;
	readonly record_count: number | null;
	readonly data_version: string | null;
	readonly max_batches: number | null;
	readonly goal_end: number | null;
	readonly records_done: number;
	readonly records_failed: number;
	/** The most steps that are committed. */
	readonly max_step: number;
	/** The most steps of the metric reports that are not archived. */
	readonly reported_step: number;
	/** As summary-text.ts writes it. */
	readonly summary: string;
	/** Not 0 where the summary is to be computed anew; it counts what happened since it was true. */
	readonly summary_stale: number;
	readonly create_time: number;
	readonly end_time: number | null;
	readonly metadata: string;
	readonly status: string;
	readonly progress: number;
	readonly cancel_requested: number;
}

/** Creates a trial. Throws `not_found` if the experiment does not exist, `failed_precondition` if it is archived. */
export async function createTrial(
	tx: Transaction,
	trial: { experimentId: number; hparams: JsonObject | undefined; maxRestarts: number },
): Promise<Trial> {
	const experiment = await tx.get<{ id: number; storage: string; archived: number }>(
		"SELECT id, storage, archived FROM experiments WHERE id = ?",
		trial.experimentId,
	);
	if (experiment === undefined) {
		throw new MillraceError("not_found", `experiment ${trial.experimentId} not found`);
	}
	assertNotArchived(experiment);
	const row = await tx.get<TrialRow>(
		`INSERT INTO trials (experiment_id, hparams, max_restarts, storage, output_uuid, create_time)
		VALUES (?, ?, ?, ?, ?, ?) RETURNING *`,
		trial.experimentId,
		fromObject(trial.hparams),
		trial.maxRestarts,
		experiment.storage,
		randomUUID(),
		tx.now,
	);
	return toTrial(row as TrialRow);
}

/** Returns a trial's row. Throws `not_found` if there is none. */
export async function getTrialRow(db: Reader, trialId: number): Promise<TrialRow> {
	const row = await db.get<TrialRow>("SELECT * FROM trials WHERE id = ?", trialId);
	if (row === undefined) {
		throw new MillraceError("not_found", `trial ${trialId} not found`);
	}
	return row;
}

/** Returns how many records of a trial's goal are neither done nor failed; 0 for a trial that has no plan. */
export function recordsLeft(trial: Pick<TrialRow, "goal_end" | "records_done" | "records_failed">): number {
	return trial.goal_end === null ? 0 : trial.goal_end - trial.records_done - trial.records_failed;
}

/** Returns a trial. Throws `not_found` if there is none. */
export async function getTrial(db: Reader, trialId: number): Promise<Trial> {
	return toTrial(await getTrialRow(db, trialId));
}

/**
 * Sets a trial's state. A request to pause or to cancel does not outlive it.
 *
 * Throws `failed_precondition` if the trial of an archived experiment would be active.
 */
export async function setTrialState(tx: Transaction, trialId: number, state: keyof typeof TrialState): Promise<void> {
	if (state === "ACTIVE") {
		await assertWritable(tx, trialId);
	}
	const ended = state !== "ACTIVE" && state !== "PAUSED";
	await tx.run(
		"UPDATE trials SET state = ?, pause_requested = 0, cancel_requested = 0, end_time = ? WHERE id = ?",
		state,
		ended ? tx.now : null,
		trialId,
	);
}

async function assertWritable(tx: Transaction, trialId: number): Promise<void> {
	const experiment = await tx.get<{ id: number; archived: number }>(
		"SELECT id, archived FROM experiments WHERE id = (SELECT experiment_id FROM trials WHERE id = ?)",
		trialId,
	);
	assertNotArchived(experiment ?? { id: 0, archived: 0 });
}

/** Makes a trial of its row. */
export function toTrial(row: TrialRow): Trial {
	const endTime = toTimestamp(row.end_time);
	return create(TrialSchema, {
		id: row.id,
		experimentId: row.experiment_id,
		hparams: toObject(row.hparams),
		state: enumValue(TrialState, row.state),
		restarts: row.restarts,
		maxRestarts: row.max_restarts,
		trialRunId: row.trial_run_id,
		recordsDone: BigInt(row.records_done),
		recordsFailed: BigInt(row.records_failed),
		recordsTotal: BigInt(row.goal_end ?? 0),
		summaryMetricsJson: shownSummary(row.summary),
		storage: toStorage(row.storage) satisfies Storage,
		outputUuid: row.output_uuid,
		pauseRequested: row.pause_requested !== 0,
		createTime: timestampFromMs(row.create_time),
		...(endTime && { endTime }),
		metadata: toObject(row.metadata),
		status: row.status,
		progress: row.progress,
		cancelRequested: row.cancel_requested !== 0,
	});
}
