import { randomUUID } from "node:crypto";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { MillraceError } from "../errors.js";
import type { MetadataChangeSchema } from "../gen/millrace/v1/change_pb.js";
import {
	type Checkpoint as CheckpointMessage,
	CheckpointSortBy as SortBy,
	CheckpointState as State,
} from "../gen/millrace/v1/checkpoint_pb.js";
import { OrderBy as Order } from "../gen/millrace/v1/list_pb.js";
import { fileError } from "../storage/file-error.js";
import { fromStoredFile } from "../storage/manifest.js";
import { assertMode } from "./assert-mode.js";
import { assertNumber } from "./assert-number.js";
import { assertKnownOptions } from "./assert-options.js";
import { assertPath } from "./assert-path.js";
import { assertString, checkedStrings } from "./assert-string.js";
import { type AsyncList, asyncList } from "./async-list.js";
import { downloadFiles, type TransferMode } from "./download-files.js";
import { enumOption, type OrderBy } from "./enum-option.js";
import type { FieldsOf } from "./fields.js";
import { fromJsonText, type JsonObject } from "./json.js";
import { addition, removal } from "./metadata-change.js";
import { type MetricsSummary, type SummarizeMetricsOptions, summarizeMetrics } from "./metric-summary.js";
import type { Session } from "./session.js";
import { shown } from "./shown.js";
import { type TrialMetrics, trialMetricsList } from "./trial-metrics.js";

/** The state of a checkpoint. Only a COMPLETED one can be registered. */
export type CheckpointState = "UNSPECIFIED" | "ACTIVE" | "COMPLETED" | "ERROR" | "DELETED" | "PARTIALLY_DELETED";

/**
 * What is known of the trial that wrote a checkpoint.
 *
 * Python: CheckpointTrainingMetadata
 */
export interface CheckpointTraining {
	/** The trial. */
	readonly trialId: number;
	/** Its experiment. */
	readonly experimentId: number;
	/** The experiment's configuration. */
	readonly experimentConfig: JsonObject;
	/** The trial's hyperparameters. */
	readonly hparams: JsonObject;
	/** What the trial reported for the group "validation" at the checkpoint's steps; null if nothing. */
	readonly validationMetrics: JsonObject | null;
}

/** Options of `checkpoint.download`. */
export interface DownloadOptions {
	/**
	 * Which way the files take: "direct" from the storage, "master" through the server, or "auto": directly where this
	 * machine reaches the storage, else through the server. Default: "auto".
	 */
	readonly mode?: TransferMode;
}

/** What checkpoints can be sorted by. Python: CheckpointSortBy */
export type CheckpointSortBy = "UUID" | "TRIAL_ID" | "BATCH_NUMBER" | "END_TIME" | "STATE" | "SEARCHER_METRIC";

/** Options of `trial.listCheckpoints`, `experiment.listCheckpoints` and `client.listCheckpoints`. */
export interface ListCheckpointsOptions {
	/**
	 * What to sort by; a validation metric is given as `{ metric: "loss" }`. Checkpoints that lack it come last, the newest
	 * of them first. Default: "SEARCHER_METRIC", the one that the experiment's configuration names. `client.listCheckpoints`
	 * sorts by "END_TIME" only, by default the newest first.
	 */
	readonly sortBy?: CheckpointSortBy | { readonly metric: string };
	/** Default: the best first by a metric, as the configuration's `searcher.smaller_is_better` says, else "ASC". */
	readonly orderBy?: OrderBy;
	/** How many to list at most. Default: all. */
	readonly maxResults?: number;
	/** Only those in one of these states. Default: those that have files, COMPLETED and PARTIALLY_DELETED. */
	readonly states?: readonly CheckpointState[];
}

/**
 * A model's saved files, with metadata and state. From `client.getCheckpoint` or `client.uploadCheckpoint`.
 *
 * Python: Checkpoint
 */
export class Checkpoint {
	/** The UUID, in lower case with hyphens. */
	declare readonly uuid: string;
	/** The trial that wrote it; null if none did. */
	declare readonly trialId: number | null;
	/** The task that wrote it, "<experiment id>.<uuid>"; null if none did. */
	declare readonly taskId: string | null;
	/** The run of the task, "<task id>.<trial run id>"; null if none did. */
	declare readonly allocationId: string | null;
	/** What is known of the trial that wrote it; null if none did. */
	declare readonly training: CheckpointTraining | null;
	/** The state. */
	declare readonly state: CheckpointState;
	/** The user's metadata. */
	declare readonly metadata: JsonObject;
	/** The size in bytes of each file, by its path; empty until the checkpoint is COMPLETED. */
	declare readonly resources: Readonly<Record<string, number>>;
	/** When it was created. */
	declare readonly reportTime: Date;

	readonly #session: Session;
	#message: CheckpointMessage;

	/** @internal For the SDK's own use. */
	constructor(session: Session, message: CheckpointMessage) {
		this.#session = session;
		this.#message = message;
		Object.assign(this, fieldsOf(message));
	}

	/**
	 * Copies the files to a directory, `checkpoints/<uuid>` in the working directory by default, and returns
	 * its absolute path. The directory is made if need be; files of the same paths are replaced. Every copy
	 * is verified by size and SHA-256 digest, and gets its name only when it is whole. A download that was broken
	 * off goes on where it was: until a file is whole, what is there of it lies in `.millrace-parts`.
	 *
	 * The metadata is written beside the files as `metadata.json`, unless the checkpoint has a file of that name.
	 *
	 * Throws `failed_precondition` if the checkpoint is neither COMPLETED nor PARTIALLY_DELETED or its storage is not
	 * reached, `data_loss` if a file in storage is corrupted, `not_found` if one is missing.
	 *
	 * Python: download(path, mode)
	 */
	async download(path?: string, options: DownloadOptions = {}): Promise<string> {
		assertKnownOptions(options, "download", ["mode"]);
		const { mode = "auto" } = options;
		assertMode(mode);
		if (path !== undefined) {
			assertPath(path, "the path to download to");
		}
		// Files of it may have been removed meanwhile.
		await this.reload();
		const { uuid, state } = this;
		if (state !== "COMPLETED" && state !== "PARTIALLY_DELETED") {
			throw new MillraceError(
				"failed_precondition",
				`checkpoint ${uuid} is ${state} and has no files; only one that is COMPLETED or PARTIALLY_DELETED can be downloaded`,
			);
		}
		const target = resolve(path ?? join("checkpoints", uuid));
		const files = this.#message.files.map(fromStoredFile);
		await downloadFiles(
			await this.#session.connection(),
			{ uuid, storage: this.#message.storage, files },
			target,
			mode,
		);
		if (!files.some((file) => file.path === metadataName)) {
			await this.writeMetadataFile(join(target, metadataName));
		}
		return target;
	}

	/**
	 * Writes the metadata to a file as JSON.
	 *
	 * Python: write_metadata_file(path)
	 */
	async writeMetadataFile(path: string): Promise<void> {
		assertPath(path, "the path to write to");
		const directory = dirname(resolve(path));
		// The file has its name only when it is whole.
		const temporary = join(directory, `.${basename(path)}.${randomUUID()}.part`);
		try {
			await mkdir(directory, { recursive: true });
			await writeFile(temporary, `${JSON.stringify(this.metadata, undefined, 2)}\n`);
			await rename(temporary, path);
		} catch (cause) {
			await rm(temporary, { force: true }).catch(() => {});
			throw fileError(cause, `cannot write ${path}`);
		}
	}

	/**
	 * Sets keys of the metadata, as one step: what others add or remove at the same time stays.
	 *
	 * Throws `invalid_argument` if the metadata are not JSON, or get longer than 1 MiB.
	 *
	 * Python: add_metadata(metadata)
	 */
	async addMetadata(metadata: JsonObject): Promise<void> {
		await this.#changeMetadata(addition(metadata));
	}

	/**
	 * Removes keys of the metadata, as one step. One that is not there is no error.
	 *
	 * Python: remove_metadata(keys)
	 */
	async removeMetadata(keys: readonly string[]): Promise<void> {
		await this.#changeMetadata(removal(keys));
	}

	/**
	 * Removes all files, from the storage too: the checkpoint is DELETED, for good. One that is still being written is
	 * given up: it is ERROR.
	 *
	 * Throws `failed_precondition` if it is the checkpoint of a model version; then nothing is removed.
	 *
	 * Python: delete()
	 */
	async delete(): Promise<void> {
		await this.#removeFiles(["**/*"]);
	}

	/**
	 * Removes the files that one of the globs fits, from the storage too: the checkpoint is PARTIALLY_DELETED, or
	 * DELETED if no file is left. `*` and `?` stand for what is within a name, `**` for any number of directories. With
	 * no globs, files that are gone from the storage are dropped from `resources`.
	 *
	 * Throws `failed_precondition` if it is the checkpoint of a model version, or is still being written,
	 * `invalid_argument` if a glob is empty or has "..".
	 *
	 * Python: remove_files(globs)
	 */
	async removeFiles(globs: readonly string[]): Promise<void> {
		await this.#removeFiles(checkedStrings(globs, "globs"));
	}

	/**
	 * Reads what was reported by every trial that is linked to the checkpoint or to a model version of it.
	 *
	 * Reports that name another checkpoint or model version as what they are about are left out.
	 *
	 * @param group Only this metric group. Default, and "": all.
	 *
	 * Python: get_metrics(group)
	 *
	 * @example
	 * ```ts
	 * import { client } from "millrace";
	 *
	 * const checkpoint = await client.getCheckpoint("6b8f1f0e-0000-4000-8000-000000000000");
	 * const reports = await checkpoint.getMetrics("inference");
	 * console.log(reports.length, reports[0]?.metrics);
	 * ```
	 */
	getMetrics<M extends JsonObject = JsonObject>(group?: string): AsyncList<TrialMetrics<M>> {
		return trialMetricsList<M>(group, async (request) => {
			const { metrics } = await this.#session.connection();
			return metrics.streamCheckpointMetrics({ checkpointUuid: this.uuid, ...request });
		});
	}

	/**
	 * Returns count, min, max, mean, sum and last of each metric of a group, computed by the server: over the reports of
	 * all linked trials, as getMetrics reads them, and for each trial.
	 *
	 * Throws `invalid_argument` if the group is empty or has a dot, or a state is none.
	 *
	 * @example
	 * ```ts
	 * import { client } from "millrace";
	 *
	 * const summary = await client.getCheckpoint("6b8f1f0e-0000-4000-8000-000000000000").summarizeMetrics("inference");
	 * console.log(summary);
	 * ```
	 */
	summarizeMetrics(group: string, options: SummarizeMetricsOptions = {}): Promise<MetricsSummary> {
		return summarizeMetrics(this.#session, { case: "checkpointUuid", value: this.uuid }, group, options);
	}

	/**
	 * Fetches the checkpoint again and updates this object.
	 *
	 * Python: reload()
	 */
	async reload(): Promise<void> {
		this.#update(await fetchCheckpoint(this.#session, this.uuid));
	}

	async #changeMetadata(metadata: MessageInitShape<typeof MetadataChangeSchema>): Promise<void> {
		const { checkpoints } = await this.#session.connection();
		const request = { requestId: randomUUID(), checkpointUuid: this.uuid, metadata };
		this.#update((await checkpoints.updateCheckpointMetadata(request)).checkpoint as CheckpointMessage);
	}

	async #removeFiles(globs: string[]): Promise<void> {
		const { checkpoints } = await this.#session.connection();
		const request = { requestId: randomUUID(), checkpointUuids: [this.uuid], globs };
		this.#update((await checkpoints.removeCheckpointFiles(request)).checkpoints[0] as CheckpointMessage);
	}

	#update(message: CheckpointMessage): void {
		this.#message = message;
		Object.assign(this, fieldsOf(message));
	}
}

const metadataName = "metadata.json";

/** Fetches a checkpoint. Throws `not_found` if there is none with this UUID. */
export async function fetchCheckpoint(session: Session, uuid: string): Promise<CheckpointMessage> {
	const { checkpoints } = await session.connection();
	const { checkpoint } = await checkpoints.getCheckpoint({ checkpointUuid: uuid });
	return checkpoint as CheckpointMessage;
}

/**
 * Lists the checkpoints of a trial, of an experiment's trials, or all. Reading throws `invalid_argument` for an option that is
 * not of its type.
 */
export function checkpointList(
	session: Session,
	scope: { trialId: number } | { experimentId: number } | undefined,
	options: ListCheckpointsOptions,
): AsyncList<Checkpoint> {
	return asyncList(async function* () {
		assertKnownOptions(options, "listCheckpoints", ["sortBy", "orderBy", "maxResults", "states"]);
		const { orderBy, maxResults, states = ["COMPLETED", "PARTIALLY_DELETED"] } = options;
		const sortBy = options.sortBy ?? (scope && "SEARCHER_METRIC");
		if (maxResults !== undefined) {
			assertNumber(maxResults, "maxResults");
		}
		const isName = typeof sortBy === "string" || sortBy === undefined;
		const sort = isName ? { sortBy: enumOption(SortBy, sortBy, "sortBy") } : metricOption(sortBy);
		const request = {
			...scope,
			...sort,
			orderBy: enumOption(Order, orderBy, "orderBy"),
			states: checkedStrings(states, "states").map((state, i) => enumOption(State, state, `states[${i}]`)),
		};
		const { checkpoints } = await session.connection();
		let left = maxResults ?? Number.POSITIVE_INFINITY;
		let pageToken = "";
		do {
			const page = await checkpoints.listCheckpoints({ ...request, pageToken, pageSize: Math.min(left, 200) });
			const messages = page.checkpoints.slice(0, left);
			yield* messages.map((message) => new Checkpoint(session, message));
			left -= messages.length;
			pageToken = page.nextPageToken;
		} while (pageToken !== "" && left > 0);
	});
}

function metricOption(sortBy: { readonly metric: string }): { sortByMetric: string } {
	if (typeof sortBy !== "object" || sortBy === null) {
		throw new MillraceError("invalid_argument", `sortBy is ${shown(sortBy)}; it must be a name or { metric: "loss" }`);
	}
	assertString(sortBy.metric, "sortBy.metric");
	return { sortByMetric: sortBy.metric };
}

function trainingOf({ training }: CheckpointMessage): CheckpointTraining | null {
	return training === undefined
		? null
		: {
				trialId: training.trialId,
				experimentId: training.experimentId,
				experimentConfig: training.experimentConfig ?? {},
				hparams: training.hparams ?? {},
				validationMetrics:
					training.validationMetricsJson === "" ? null : (fromJsonText(training.validationMetricsJson) as JsonObject),
			};
}

function fieldsOf(message: CheckpointMessage): FieldsOf<Checkpoint> {
	return {
		uuid: message.uuid,
		trialId: message.trialId || null,
		taskId: message.taskId || null,
		allocationId: message.allocationId || null,
		training: trainingOf(message),
		state: State[message.state] as CheckpointState,
		metadata: message.metadata ?? {},
		resources: Object.fromEntries(message.files.map((file) => [file.path, Number(file.sizeBytes)])),
		reportTime: message.reportTime ? timestampDate(message.reportTime) : new Date(0),
	};
}
