import { isMillraceError, type MillraceError } from "../../errors.js";
import { getCheckpointRow } from "./checkpoints.js";
import type { Reader, SqlValue, Transaction } from "./database.js";
import { getModelRow } from "./models.js";
import {
	findTrialSource,
	linkTrialSources,
	type TrialSource,
	trialsOfCheckpoint,
	trialsOfModelVersion,
} from "./trial-sources.js";

/** What a report names as what it is about. */
export interface ReportSource {
	/** 0 if it names nothing. */
	readonly checkpointId: number;
	/** 0 if it names no model version. */
	readonly modelId: number;
	/** 0 if it names no model version. */
	readonly version: number;
}

/** The source of a report that names none: it counts for all that its trial is linked to. */
export const noSource: ReportSource = { checkpointId: 0, modelId: 0, version: 0 };

/** Finds what reports name, each once. A name that is wrong gives the error that says so. */
export async function findReportSources(
	tx: Transaction,
	sources: Iterable<TrialSource>,
): Promise<ReadonlyMap<string, ReportSource | MillraceError>> {
	const found = new Map<string, ReportSource | MillraceError>();
	for (const source of sources) {
		const key = sourceKey(source);
		if (!found.has(key)) {
			found.set(key, await findOne(tx, source));
		}
	}
	return found;
}

/** Returns the key of a source in what `findReportSources` returns. */
export function sourceKey(source: TrialSource): string {
	return JSON.stringify("checkpointUuid" in source ? [source.checkpointUuid] : [source.model, source.version]);
}

async function findOne(tx: Transaction, source: TrialSource): Promise<ReportSource | MillraceError> {
	try {
		return await findTrialSource(tx, source);
	} catch (error) {
		if (isMillraceError(error, "not_found")) {
			return error;
		}
		throw error;
	}
}

/** Links the trials of reports to what the reports name, where they are not linked yet. */
export async function linkReported(
	tx: Transaction,
	reports: readonly { readonly trialId: number; readonly source: ReportSource }[],
): Promise<void> {
	const links = new Map<string, readonly [number, number, number, number]>();
	for (const { trialId, source } of reports) {
		if (source.checkpointId !== 0) {
			const link = [trialId, source.checkpointId, source.modelId, source.version] as const;
			links.set(link.join(), link);
		}
	}
	if (links.size > 0) {
		await linkTrialSources(tx, [...links.values()]);
	}
}

/** Which reports are asked for: those of some trials that fit a condition. */
export interface MetricSubject {
	readonly trialIds: readonly number[];
	/** SQL that is added to the condition of a statement, with a question mark for each parameter. */
	readonly condition: string;
	readonly parameters: readonly SqlValue[];
}

/** All reports of some trials. */
export function trialSubject(trialIds: readonly number[]): MetricSubject {
	return { trialIds, condition: "", parameters: [] };
}

/**
 * The reports about a checkpoint: those of linked trials that name nothing else.
 *
 * Throws `not_found` if the checkpoint does not exist.
 */
export async function checkpointSubject(db: Reader, uuid: string): Promise<MetricSubject> {
	const { id } = await getCheckpointRow(db, uuid);
	const trialIds = await trialsOfCheckpoint(db, uuid);
	return { trialIds, condition: "AND checkpoint_id IN (0, ?)", parameters: [id] };
}

/**
 * The reports about a model version: those of linked trials that name nothing else.
 *
 * Throws `not_found` if the model or the version does not exist.
 */
export async function modelVersionSubject(db: Reader, nameOrId: string, version: number): Promise<MetricSubject> {
	const trialIds = await trialsOfModelVersion(db, nameOrId, version);
	const { id } = await getModelRow(db, nameOrId);
	const condition = "AND (checkpoint_id = 0 OR (model_id = ? AND version = ?))";
	return { trialIds, condition, parameters: [id, version] };
}
