import { create, type JsonObject } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { MillraceError } from "../../errors.js";
import { type Experiment, ExperimentSchema, ExperimentState } from "../../gen/millrace/v1/experiment_pb.js";
import type { Storage } from "../../gen/millrace/v1/storage_pb.js";
import type { Reader, Transaction } from "./database.js";
import { enumValue } from "./enum-name.js";
import { fromLabels, fromObject, fromStorage, toLabels, toObject, toTimestamp } from "./json-column.js";

interface ExperimentRow {
	readonly id: number;
	readonly name: string;
	readonly description: string;
	readonly labels: string;
	readonly config: string;
	readonly create_time: number;
	readonly state: keyof typeof ExperimentState;
	readonly progress: number;
	readonly end_time: number | null;
}

// The states of an experiment's trials make its own: what may still run comes first, then what failed.
const columns = `experiments.*, (
	SELECT CASE
		WHEN count(*) = 0 OR sum(state = 'ACTIVE') THEN 'ACTIVE'
		WHEN sum(state = 'PAUSED') THEN 'PAUSED'
		WHEN sum(state = 'ERROR') THEN 'ERROR'
		WHEN sum(state = 'CANCELED') THEN 'CANCELED'
		ELSE 'COMPLETED'
	END FROM trials WHERE experiment_id = experiments.id
) AS state, (
	SELECT ifnull(avg(CASE
		WHEN state = 'COMPLETED' THEN 1.0
		WHEN goal_end > 0 THEN 1.0 * (records_done + records_failed) / goal_end
		ELSE 0.0
	END), 0.0) FROM trials WHERE experiment_id = experiments.id
) AS progress, (
	SELECT CASE WHEN count(*) = count(end_time) THEN max(end_time) END FROM trials WHERE experiment_id = experiments.id
) AS end_time`;

/** Creates an experiment. */
export async function createExperiment(
	tx: Transaction,
	experiment: { name: string; description: string; labels: readonly string[]; config: JsonObject; storage: Storage },
): Promise<Experiment> {
	const row = await tx.get<{ id: number }>(
		`INSERT INTO experiments (name, description, labels, config, storage, create_time)
		VALUES (?, ?, ?, ?, ?, ?) RETURNING id`,
		experiment.name,
		experiment.description,
		fromLabels(experiment.labels),
		fromObject(experiment.config),
		fromStorage(experiment.storage),
		tx.now,
	);
	return getExperiment(tx, row?.id ?? 0);
}

/** Returns an experiment. Throws `not_found` if there is none. */
export async function getExperiment(db: Reader, experimentId: number): Promise<Experiment> {
	const row = await db.get<ExperimentRow>(`SELECT ${columns} FROM experiments WHERE id = ?`, experimentId);
	if (row === undefined) {
		throw new MillraceError("not_found", `experiment ${experimentId} not found`);
	}
	return toExperiment(row);
}

/** Returns experiments with an id below `before`, the newest first. */
export async function listExperiments(db: Reader, before: number, limit: number): Promise<Experiment[]> {
	const rows = await db.all<ExperimentRow>(
		`SELECT ${columns} FROM experiments WHERE id < ? ORDER BY id DESC LIMIT ?`,
		before,
		limit,
	);
	return rows.map(toExperiment);
}

function toExperiment(row: ExperimentRow): Experiment {
	const endTime = toTimestamp(row.end_time);
	return create(ExperimentSchema, {
		id: row.id,
		name: row.name,
		description: row.description,
		labels: toLabels(row.labels),
		config: toObject(row.config),
		state: enumValue(ExperimentState, row.state),
		progress: row.progress,
		createTime: timestampFromMs(row.create_time),
		...(endTime && { endTime }),
	});
}
