import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { Checkpoint as CheckpointMessage } from "../gen/millrace/v1/checkpoint_pb.js";
import type { ModelVersion as ModelVersionMessage } from "../gen/millrace/v1/model_pb.js";
import type { AsyncList } from "./async-list.js";
import { Checkpoint } from "./checkpoint.js";
import type { FieldsOf } from "./fields.js";
import type { JsonObject } from "./json.js";
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
	 * @param group Only this metric group. Default: all.
	 *
	 * Python: get_metrics(group)
	 */
	getMetrics<M extends JsonObject = JsonObject>(group?: string): AsyncList<TrialMetrics<M>> {
		return trialMetricsList<M>(group, async (request) => {
			const { metrics } = await this.#session.connection();
			return metrics.streamModelVersionMetrics({ model: String(this.modelId), version: this.modelVersion, ...request });
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
	 * Fetches the version again and updates this object.
	 *
	 * Python: reload()
	 */
	async reload(): Promise<void> {
		const message = await fetchModelVersion(this.#session, String(this.modelId), this.modelVersion);
		Object.assign(this, fieldsOf(this.#session, message as ModelVersionMessage));
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
