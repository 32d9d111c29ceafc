import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { MillraceError } from "../errors.js";
import { type Checkpoint as CheckpointMessage, CheckpointState as State } from "../gen/millrace/v1/checkpoint_pb.js";
import { fromStoredFile } from "../storage/manifest.js";
import { openStorage } from "../storage/open-storage.js";
import type { AsyncList } from "./async-list.js";
import type { FieldsOf } from "./fields.js";
import type { JsonObject } from "./json.js";
import type { Session } from "./session.js";
import { type TrialMetrics, trialMetricsList } from "./trial-metrics.js";

/** The state of a checkpoint. Only a COMPLETED one can be registered. */
export type CheckpointState = "UNSPECIFIED" | "ACTIVE" | "COMPLETED" | "ERROR" | "DELETED" | "PARTIALLY_DELETED";

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
	 * is verified by size and SHA-256 digest, and gets its name only when it is whole.
	 *
	 * Throws `failed_precondition` if the checkpoint has no files or its storage is not there, `data_loss` if
	 * a file in storage is corrupted, `not_found` if one is missing.
	 *
	 * Python: download(path), which also writes metadata.json; see writeMetadataFile
	 */
	async download(path?: string): Promise<string> {
		const { uuid, state } = this;
		if (this.#message.files.length === 0) {
			throw new MillraceError(
				"failed_precondition",
				`checkpoint ${uuid} is ${state} and has no files; only one that is COMPLETED can be downloaded`,
			);
		}
		const target = resolve(path ?? join("checkpoints", uuid));
		await openStorage(this.#message.storage).download(uuid, this.#message.files.map(fromStoredFile), target);
		return target;
	}

	/**
	 * Writes the metadata to a file as JSON.
	 *
	 * Python: write_metadata_file(path)
	 */
	async writeMetadataFile(path: string): Promise<void> {
		await mkdir(dirname(resolve(path)), { recursive: true });
		await writeFile(path, `${JSON.stringify(this.metadata, undefined, 2)}\n`);
	}

	/**
	 * Reads what was reported by every trial that is linked to the checkpoint or to a model version of it.
	 *
	 * @param group Only this metric group. Default: all.
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
	 * Fetches the checkpoint again and updates this object.
	 *
	 * Python: reload()
	 */
	async reload(): Promise<void> {
		this.#message = await fetchCheckpoint(this.#session, this.uuid);
		Object.assign(this, fieldsOf(this.#message));
	}
}

/** Fetches a checkpoint. Throws `not_found` if there is none with this UUID. */
export async function fetchCheckpoint(session: Session, uuid: string): Promise<CheckpointMessage> {
	const { checkpoints } = await session.connection();
	const { checkpoint } = await checkpoints.getCheckpoint({ checkpointUuid: uuid });
	return checkpoint as CheckpointMessage;
}

function fieldsOf(message: CheckpointMessage): FieldsOf<Checkpoint> {
	return {
		uuid: message.uuid,
		trialId: message.trialId || null,
		state: State[message.state] as CheckpointState,
		metadata: message.metadata ?? {},
		resources: Object.fromEntries(message.files.map((file) => [file.path, Number(file.sizeBytes)])),
		reportTime: message.reportTime ? timestampDate(message.reportTime) : new Date(0),
	};
}
