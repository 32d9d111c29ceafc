import { create, type JsonObject } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { MillraceError } from "../../errors.js";
import { type Experiment, ExperimentSchema, type ExperimentState } from "../../gen/millrace/v1/experiment_pb.js";
import type { Storage } from "../../gen/millrace/v1/storage_pb.js";
import type { Reader, Transaction } from "./database.js";
import { fromLabels, fromObject, fromStorage, toLabels, toObject, toTimestamp } from "./json-column.js";

/** An experiment's row, with what follows from its trials. */
export interface ExperimentRow {
	readonly id: number;
	readonly name: string;
	readonly description: string;
	readonly labels: string;
	readonly config: string;
	readonly create_time: number;
	readonly notes: string;
	readonly archived: number;
	readonly username: string;
	readonly state: ExperimentState;
	readonly progress: number;
	readonly trial_count: number;
	readonly end_time: number | null;
}

/** What a statement selects, and from where, to read rows of experiments. */
export const experimentColumns = "experiments.*, totals.state, totals.progress, totals.trial_count, totals.end_time";
export const experimentTables = "experiments JOIN experiment_totals AS totals ON totals.experiment_id = experiments.id";

/** The built-in project, which all experiments are in. */
export const soleProject = 1;

/** What a user may change of an experiment. */
export interface ExperimentUpdate {
	readonly name?: string | undefined;
	readonly description?: string | undefined;
	readonly notes?: string | undefined;
	/** Given the labels that it has, returns those that it has from now on. */
	labels(labels: readonly string[]): readonly string[];
}

/** Creates an experiment. */
export async function createExperiment(
	tx: Transaction,
	experiment: {
		name: string;
		description: string;
		labels: readonly string[];
		config: JsonObject;
		storage: Storage;
		username: string;
	},
): Promise<Experiment> {
	const row = await tx.get<{ id: number }>(
		`INSERT INTO experiments (name, description, labels, config, storage, username, create_time)
		VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id`,
		experiment.name,
		experiment.description,
		fromLabels(experiment.labels),
		fromObject(experiment.config),
		fromStorage(experiment.storage),
		experiment.username,
		tx.now,
	);
	return getExperiment(tx, row?.id ?? 0);
}

/** Returns an experiment. Throws `not_found` if there is none. */
export async function getExperiment(db: Reader, experimentId: number): Promise<Experiment> {
	return toExperiment(await getExperimentRow(db, experimentId));
}

/** Returns an experiment's row. Throws `not_found` if there is none. */
export async function getExperimentRow(db: Reader, experimentId: number): Promise<ExperimentRow> {
	const row = await db.get<ExperimentRow>(
		`SELECT ${experimentColumns} FROM ${experimentTables} WHERE experiments.id = ?`,
		experimentId,
	);
	if (row === undefined) {
		throw new MillraceError("not_found", `experiment ${experimentId} not found`);
	}
	return row;
}

/**
 * Changes an experiment.
 *
 * Throws `not_found` if there is none, `failed_precondition` if it is archived.
 */
export async function updateExperiment(
	tx: Transaction,
	experimentId: number,
	update: ExperimentUpdate,
): Promise<Experiment> {
	const row = await getExperimentRow(tx, experimentId);
	assertNotArchived(row);
	await tx.run(
		"UPDATE experiments SET name = ?, description = ?, notes = ?, labels = ? WHERE id = ?",
		update.name ?? row.name,
		update.description ?? row.description,
		update.notes ?? row.notes,
		fromLabels(update.labels(toLabels(row.labels))),
		experimentId,
	);
	return getExperiment(tx, experimentId);
}

/**
 * Archives an experiment.
 *
 * Throws `not_found` if there is none, `failed_precondition` if one of its trials may still run.
 */
export async function archiveExperiment(tx: Transaction, experimentId: number): Promise<Experiment> {
	await getExperimentRow(tx, experimentId);
	await assertAllEnded(tx, experimentId, "archive");
	await tx.run("UPDATE experiments SET archived = 1 WHERE id = ?", experimentId);
	return getExperiment(tx, experimentId);
}

/** Makes an experiment writable again. Throws `not_found` if there is none. */
export async function unarchiveExperiment(tx: Transaction, experimentId: number): Promise<Experiment> {
	await tx.run("UPDATE experiments SET archived = 0 WHERE id = ?", experimentId);
	return getExperiment(tx, experimentId);
}

/** Throws `failed_precondition` if one of an experiment's trials may still run, for something that is refused then. */
export async function assertAllEnded(tx: Transaction, experimentId: number, toDo: string): Promise<void> {
	const trial = await tx.get<{ id: number; state: string }>(
		"SELECT id, state FROM trials WHERE experiment_id = ? AND state IN ('ACTIVE', 'PAUSED') ORDER BY id LIMIT 1",
		experimentId,
	);
	if (trial !== undefined) {
		throw new MillraceError(
			"failed_precondition",
			`trial ${trial.id} of experiment ${experimentId} is ${trial.state}; cancel or kill the experiment, then ${toDo} it`,
		);
	}
}

/** Throws `failed_precondition` if an experiment is archived. */
export function assertNotArchived({ id, archived }: Pick<ExperimentRow, "id" | "archived">): void {
	if (archived !== 0) {
		throw new MillraceError("failed_precondition", `experiment ${id} is archived; unarchive it first`);
	}
}

/** Makes an experiment of its row. */
export function toExperiment(row: ExperimentRow): Experiment {
	const endTime = toTimestamp(row.end_time);
	return create(ExperimentSchema, {
		id: row.id,
		name: row.name,
		description: row.description,
		labels: toLabels(row.labels),
		config: toObject(row.config),
		state: row.state,
		progress: row.progress,
		createTime: timestampFromMs(row.create_time),
		...(endTime && { endTime }),
		notes: row.notes,
		archived: row.archived !== 0,
		username: row.username,
		trialCount: row.trial_count,
		projectId: soleProject,
	});
}
