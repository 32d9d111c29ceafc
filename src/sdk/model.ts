import { randomUUID } from "node:crypto";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { Model as ModelMessage, ModelVersion as ModelVersionMessage } from "../gen/millrace/v1/model_pb.js";
import { assertNumber } from "./assert-number.js";
import { assertOptions } from "./assert-options.js";
import { type AsyncList, pagedList } from "./async-list.js";
import type { FieldsOf } from "./fields.js";
import { type JsonObject, toJsonObject } from "./json.js";
import { modelVersionMethods } from "./method-kinds.js";
import { fetchModelVersion, ModelVersion } from "./model-version.js";
import { type Pending, pending } from "./pending.js";
import type { Session } from "./session.js";

/** What a user may say of a new version. */
export interface RegisterVersionOptions {
	/** A name for the version. */
	readonly name?: string;
	/** A comment. */
	readonly comment?: string;
	/** Notes, in Markdown. */
	readonly notes?: string;
	/** Metadata. */
	readonly metadata?: JsonObject;
	/** Labels; duplicates are dropped. */
	readonly labels?: readonly string[];
}

/**
 * A registry entry that holds model versions. From `client.createModel`, `client.getModel` or
 * `client.listModels`.
 *
 * Python: Model
 */
export class Model {
	/** The name, unique among all models, case-sensitive. */
	declare readonly name: string;
	/** The id. */
	declare readonly modelId: number;
	/** The description. */
	declare readonly description: string;
	/** When the model was created. */
	declare readonly creationTime: Date;
	/** When the model was last changed. */
	declare readonly lastUpdatedTime: Date;
	/** The user's metadata. */
	declare readonly metadata: JsonObject;
	/** The labels, without duplicates. */
	declare readonly labels: readonly string[];
	/** The user who created the model. */
	declare readonly username: string;
	/** Whether the model is archived. */
	declare readonly archived: boolean;

	readonly #session: Session;

	/** @internal For the SDK's own use. */
	constructor(session: Session, message: ModelMessage) {
		this.#session = session;
		Object.assign(this, fieldsOf(message));
	}

	/**
	 * Returns a version by its number.
	 *
	 * Throws `not_found` if the model has no such version, `invalid_argument` if the number is not a whole
	 * one from 1.
	 *
	 * Python: get_version(version)
	 */
	getVersion(version: number): Pending<ModelVersion>;
	/**
	 * Returns the newest version; null if the model has none.
	 *
	 * Python: get_version()
	 */
	getVersion(version?: undefined): Pending<ModelVersion | null, ModelVersion>;
	getVersion(version?: number): Pending<ModelVersion | null, ModelVersion> {
		return pending(
			async () => {
				if (version !== undefined) {
					assertNumber(version, "the model version");
				}
				const message = await fetchModelVersion(this.#session, String(this.modelId), version ?? 0);
				return message === undefined ? null : new ModelVersion(this.#session, message);
			},
			modelVersionMethods,
			`model ${this.name} has no versions; register one with registerVersion`,
		);
	}

	/**
	 * Lists the versions, the newest first.
	 *
	 * Python: list_versions()
	 */
	listVersions(): AsyncList<ModelVersion> {
		return pagedList(async (page) => {
			const { models } = await this.#session.connection();
			const answer = await models.listModelVersions({ ...page, model: String(this.modelId) });
			const items = answer.modelVersions.map((message) => new ModelVersion(this.#session, message));
			return { items, nextPageToken: answer.nextPageToken };
		});
	}

	/**
	 * Registers a checkpoint as the next version.
	 *
	 * Throws `not_found` if the checkpoint does not exist, `failed_precondition` if it is not COMPLETED, or
	 * the model is archived.
	 *
	 * Python: register_version(checkpoint_uuid, name, labels, metadata, comment, notes)
	 */
	async registerVersion(checkpointUuid: string, options: RegisterVersionOptions = {}): Promise<ModelVersion> {
		assertOptions(options, "registerVersion", "name");
		const metadata = toJsonObject(options.metadata ?? {}, "metadata");
		const { models } = await this.#session.connection();
		const { modelVersion } = await models.registerModelVersion({
			requestId: randomUUID(),
			model: String(this.modelId),
			checkpointUuid,
			name: options.name ?? "",
			comment: options.comment ?? "",
			notes: options.notes ?? "",
			metadata,
			labels: [...(options.labels ?? [])],
		});
		return new ModelVersion(this.#session, modelVersion as ModelVersionMessage);
	}

	/**
	 * Fetches the model again and updates this object.
	 *
	 * Python: reload()
	 */
	async reload(): Promise<void> {
		Object.assign(this, fieldsOf(await fetchModel(this.#session, String(this.modelId))));
	}
}

/** Fetches a model by its name or id. Throws `not_found` if there is none. */
export async function fetchModel(session: Session, model: string): Promise<ModelMessage> {
	const { models } = await session.connection();
	return (await models.getModel({ model })).model as ModelMessage;
}

function fieldsOf(message: ModelMessage): FieldsOf<Model> {
	return {
		name: message.name,
		modelId: message.id,
		description: message.description,
		creationTime: message.createTime ? timestampDate(message.createTime) : new Date(0),
		lastUpdatedTime: message.updateTime ? timestampDate(message.updateTime) : new Date(0),
		metadata: message.metadata ?? {},
		labels: message.labels,
		username: message.username,
		archived: message.archived,
	};
}
