import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { MillraceError } from "../../errors.js";
import {
	type Checkpoint,
	CheckpointSchema,
	CheckpointState,
	type CheckpointTraining,
	CheckpointTrainingSchema,
} from "../../gen/millrace/v1/checkpoint_pb.js";
import type { Reader } from "./database.js";
import { enumValue } from "./enum-name.js";
import { toObject, toStorage } from "./json-column.js";

/** A checkpoint with what is known of it in other tables. */
export interface CheckpointRow {
	readonly id: number;
	readonly uuid: string;
	readonly trial_id: number | null;
	readonly trial_run_id: number;
	readonly state: keyof typeof CheckpointState;
	readonly metadata: string;
	readonly completed_metadata: string;
	readonly storage: string;
	readonly content_digest: string | null;
	readonly report_time: number;
	readonly steps_completed: number | null;
	/** As JSON: [path, size, digest] of each, in the order of the paths. */
	readonly files: string;
	/** Of the trial that wrote it; null if none did. */
	readonly experiment_id: number | null;
	readonly output_uuid: string | null;
	readonly hparams: string | null;
	readonly config: string | null;
	/** What the trial reported for these groups at the checkpoint's steps; null if nothing. */
	readonly validation: string | null;
	readonly training: string | null;
}

/**
 * The metrics of a group that a checkpoint's trial reported at its steps: of the newest run, and of those of several
 * ranks the one that speaks for the whole trial, else the first rank's.
 */
export const metricsAtCheckpoint = (group: "validation" | "training") => `(
	SELECT metrics FROM metric_reports
	WHERE metric_reports.trial_id = checkpoints.trial_id AND group_name = '${group}'
		AND metric_reports.steps_completed = checkpoints.steps_completed AND archived = 0
	ORDER BY metric_reports.trial_run_id DESC, rank, metric_reports.id DESC LIMIT 1
)`;

const select = `SELECT checkpoints.*, (
	SELECT json_group_array(json_array(path, size_bytes, sha256)) FROM (
		SELECT path, size_bytes, sha256 FROM checkpoint_files WHERE checkpoint_id = checkpoints.id ORDER BY path
	)
) AS files, trials.experiment_id, trials.output_uuid, trials.hparams, experiments.config,
	${metricsAtCheckpoint("validation")} AS validation, ${metricsAtCheckpoint("training")} AS training
FROM checkpoints
LEFT JOIN trials ON trials.id = checkpoints.trial_id
LEFT JOIN experiments ON experiments.id = trials.experiment_id`;

/** Returns a checkpoint's row. Throws `not_found` if there is none. */
export async function getCheckpointRow(db: Reader, uuid: string): Promise<CheckpointRow> {
	const row = await db.get<CheckpointRow>(`${select} WHERE checkpoints.uuid = ?`, uuid);
	if (row === undefined) {
		throw new MillraceError("not_found", `checkpoint '${uuid}' not found`);
	}
	return row;
}

/** Returns a checkpoint. Throws `not_found` if there is none. */
export async function getCheckpoint(db: Reader, uuid: string): Promise<Checkpoint> {
	return toCheckpoint(await getCheckpointRow(db, uuid));
}

/** Returns checkpoints with the row ids `ids`, by row id. */
export async function getCheckpointsById(db: Reader, ids: readonly number[]): Promise<Map<number, Checkpoint>> {
	const rows = await getCheckpointRows(db, ids);
	return new Map([...rows].map(([id, row]) => [id, toCheckpoint(row)]));
}

/** The same as rows. */
export async function getCheckpointRows(db: Reader, ids: readonly number[]): Promise<Map<number, CheckpointRow>> {
	const rows = await db.all<CheckpointRow>(
		`${select} WHERE checkpoints.id IN (SELECT value FROM json_each(?))`,
		JSON.stringify(ids),
	);
	return new Map(rows.map((row) => [row.id, row]));
}

/** Returns the oldest COMPLETED checkpoint whose files have this digest, or undefined. */
export async function findCheckpointByContent(db: Reader, contentDigest: string): Promise<Checkpoint | undefined> {
	const row = await db.get<CheckpointRow>(
		`${select} WHERE content_digest = ? AND checkpoints.state = 'COMPLETED' ORDER BY checkpoints.id LIMIT 1`,
		contentDigest,
	);
	return row && toCheckpoint(row);
}

/** Makes a checkpoint of its row. */
export function toCheckpoint(row: CheckpointRow): Checkpoint {
	const files = JSON.parse(row.files) as [path: string, sizeBytes: number, sha256: string][];
	const training = toTraining(row);
	const taskId = `${row.experiment_id}.${row.output_uuid}`;
	return create(CheckpointSchema, {
		uuid: row.uuid,
		trialId: row.trial_id ?? 0,
		trialRunId: row.trial_run_id,
		state: enumValue(CheckpointState, row.state),
		metadata: toObject(row.metadata),
		files: files.map(([path, sizeBytes, sha256]) => ({ path, sizeBytes: BigInt(sizeBytes), sha256 })),
		storage: toStorage(row.storage),
		reportTime: timestampFromMs(row.report_time),
		...(training && { training, taskId, allocationId: `${taskId}.${row.trial_run_id}` }),
		...(row.steps_completed !== null && { stepsCompleted: row.steps_completed }),
	});
}

function toTraining(row: CheckpointRow): CheckpointTraining | undefined {
	if (row.trial_id === null) {
		return undefined;
	}
	const config = toObject(row.config ?? "{}");
	const searcherMetric = searcherMetricOf(config, row.validation);
	return create(CheckpointTrainingSchema, {
		trialId: row.trial_id,
		experimentId: row.experiment_id ?? 0,
		experimentConfig: config,
		hparams: toObject(row.hparams ?? "{}"),
		validationMetricsJson: row.validation ?? "",
		trainingMetricsJson: row.training ?? "",
		...(searcherMetric !== undefined && { searcherMetric }),
	});
}

const nonFinite = ["NaN", "Infinity", "-Infinity"];

function searcherMetricOf(config: ReturnType<typeof toObject>, validation: string | null): number | undefined {
	const { searcher } = config;
	const name =
		typeof searcher === "object" && searcher !== null && !Array.isArray(searcher) ? searcher.metric : undefined;
	if (typeof name !== "string" || validation === null) {
		return undefined;
	}
	const metrics = toObject(validation);
	const value = Object.hasOwn(metrics, name) ? metrics[name] : undefined;
	return typeof value === "number" || nonFinite.includes(String(value)) ? Number(value) : undefined;
}
