import { randomUUID } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { Checkpoint as CheckpointMessage } from "../gen/millrace/v1/checkpoint_pb.js";
import type { ModelVersion as ModelVersionMessage } from "../gen/millrace/v1/model_pb.js";
import type { UpdateModelVersionRequestSchema } from "../gen/millrace/v1/model_service_pb.js";
import { assertString, checkedStrings } from "./assert-string.js";
import type { AsyncList } from "./async-list.js";
import { Checkpoint } from "./checkpoint.js";
import type { FieldsOf } from "./fields.js";
import type { JsonObject } from "./json.js";
import { addition, removal } from "./metadata-change.js";
import { type MetricsSummary, type SummarizeMetricsOptions, summarizeMetrics } from "./metric-summary.js";
import type { Session } from "./session.js";
import { type TrialMetrics, trialMetricsList } from "./trial-metrics.js";

/**
 * A numbered version of a model, which points to a checkpoint. From `model.getVersion` or
 * `model.registerVersion`.
 *
 * Python: ModelVersion
 */
export class ModelVersion {
	/** The number of the version within its model, from 1. */
	declare readonly modelVersion: number;
	/** The name of the model. */
	declare readonly modelName: string;
	/** The id of the model. */
	declare readonly modelId: number;
	/** The checkpoint, as it was when the version was fetched. */
	declare readonly checkpoint: Checkpoint;
	/** The name that a user gave the version; "" if none did. */
	declare readonly name: string;
	/** The comment of who registered it. */
	declare readonly comment: string;
	/** Notes, in Markdown. */
	declare readonly notes: string;
	/** The user's metadata. */
	declare readonly metadata: JsonObject;
	/** The labels. */
	declare readonly labels: readonly string[];
	/** The user who registered the version. */
	declare readonly username: string;
	/** When the version was registered. */
	declare readonly creationTime: Date;
	/** When the version was last changed. */
	declare readonly lastUpdatedTime: Date;

	readonly #session: Session;

	/** @internal For the SDK's own use. */
	constructor(session: Session, message: ModelVersionMessage) {
		this.#session = session;
		Object.assign(this, fieldsOf(session, message));
	}

	/**
	 * Reads what was reported by every trial that is linked to this version.
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
	 * for await (const { trialId, rank, metrics } of client.getModel("digits").getVersion(1).getMetrics("inference")) {
	 * 	console.log(trialId, rank, metrics);
	 * }
	 * ```
	 */
	getMetrics<M extends JsonObject = JsonObject>(group?: string): AsyncList<TrialMetrics<M>> {
		return trialMetricsList<M>(group, async (request) => {
			const { metrics } = await this.#session.connection();
			return metrics.streamModelVersionMetrics({ ...this.#reference, ...request });
		});
	}

	/**
	 * The same as getMetrics.
	 *
	 * Python: iter_metrics(group)
	 */
	iterMetrics<M extends JsonObject = JsonObject>(group?: string): AsyncList<TrialMetrics<M>> {
		return this.getMetrics<M>(group);
	}

	/**
	 * Names the version.
	 *
	 * Throws `failed_precondition` if the model is archived.
	 *
	 * Python: set_name(name)
	 */
	async setName(name: string): Promise<void> {
		assertString(name, "name");
		await this.#update({ name });
	}

	/**
	 * Sets the notes, in Markdown, of at most 1,000,000 characters.
	 *
	 * Throws `failed_precondition` if the model is archived.
	 *
	 * Python: set_notes(notes)
	 */
	async setNotes(notes: string): Promise<void> {
		assertString(notes, "notes");
		await this.#update({ notes });
	}

	/** Sets all labels; duplicates are dropped, and the order is kept. Throws `failed_precondition` if the model is archived. */
	async setLabels(labels: readonly string[]): Promise<void> {
		await this.#update({ labels: { labels: checkedStrings(labels, "labels") } });
	}

	/**
	 * Sets keys of the metadata; the others stay. It is one change on the server, as `Model.addMetadata`.
	 *
	 * Throws `failed_precondition` if the model is archived, `invalid_argument` if the metadata is not JSON or becomes
	 * longer than 1 MiB.
	 */
	async addMetadata(metadata: JsonObject): Promise<void> {
		await this.#update({ metadata: addition(metadata) });
	}

	/** Removes keys of the metadata, in one change on the server. Throws `failed_precondition` if the model is archived. */
	async removeMetadata(keys: readonly string[]): Promise<void> {
		await this.#update({ metadata: removal(keys) });
	}

	/**
	 * Deletes the version. Its number is never used again. The checkpoint stays, and what was reported of it.
	 *
	 * Python: delete()
	 */
	async delete(): Promise<void> {
		const { models } = await this.#session.connection();
		await models.deleteModelVersion({ requestId: randomUUID(), ...this.#reference });
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
	 * const summary = await client.getModel("digits").getVersion(1).summarizeMetrics("inference");
	 * console.log(summary);
	 * ```
	 */
	summarizeMetrics(group: string, options: SummarizeMetricsOptions = {}): Promise<MetricsSummary> {
		return summarizeMetrics(this.#session, { case: "modelVersion", value: this.#reference }, group, options);
	}

	/**
	 * Fetches the version again and updates this object.
	 *
	 * Python: reload()
	 */
	async reload(): Promise<void> {
		const message = await fetchModelVersion(this.#session, String(this.modelId), this.modelVersion);
		Object.assign(this, fieldsOf(this.#session, message as ModelVersionMessage));
	}

	get #reference(): { model: string; version: number } {
		return { model: String(this.modelId), version: this.modelVersion };
	}

	async #update(change: MessageInitShape<typeof UpdateModelVersionRequestSchema>): Promise<void> {
		const { models } = await this.#session.connection();
		const request = { ...change, requestId: randomUUID(), ...this.#reference };
		const { modelVersion } = await models.updateModelVersion(request);
		Object.assign(this, fieldsOf(this.#session, modelVersion as ModelVersionMessage));
	}
}

/**
 * Fetches a version of a model, the newest for version 0; undefined if the newest was asked for and there
 * is none.
 *
 * Throws `not_found` if the model or the version does not exist.
 */
export async function fetchModelVersion(
	session: Session,
	model: string,
	version: number,
): Promise<ModelVersionMessage | undefined> {
	const { models } = await session.connection();
	return (await models.getModelVersion({ model, version })).modelVersion;
}

function fieldsOf(session: Session, message: ModelVersionMessage): FieldsOf<ModelVersion> {
	return {
		modelVersion: message.version,
		modelName: message.modelName,
		modelId: message.modelId,
		checkpoint: new Checkpoint(session, message.checkpoint as CheckpointMessage),
		name: message.name,
		comment: message.comment,
		notes: message.notes,
		metadata: message.metadata ?? {},
		labels: message.labels,
		username: message.username,
		creationTime: message.createTime ? timestampDate(message.createTime) : new Date(0),
		lastUpdatedTime: message.updateTime ? timestampDate(message.updateTime) : new Date(0),
	};
}
