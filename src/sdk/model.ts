import { randomUUID } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { OrderBy as Order } from "../gen/millrace/v1/list_pb.js";
import type { Model as ModelMessage, ModelVersion as ModelVersionMessage } from "../gen/millrace/v1/model_pb.js";
import type { UpdateModelRequestSchema } from "../gen/millrace/v1/model_service_pb.js";
import { assertNumber } from "./assert-number.js";
import { assertKnownOptions } from "./assert-options.js";
import { assertString, checkedStrings } from "./assert-string.js";
import { type AsyncList, pagedList } from "./async-list.js";
import type { Connection } from "./connection.js";
import { enumOption, type OrderBy } from "./enum-option.js";
import type { FieldsOf } from "./fields.js";
import { type JsonObject, toJsonObject } from "./json.js";
import { addition, removal } from "./metadata-change.js";
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

/** What a list of versions is sorted by: their numbers. */
export interface ListVersionsOptions {
	/** Default: "DESC", the newest first. */
	readonly orderBy?: OrderBy;
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
	/** The labels, without duplicates, in the user's order. */
	declare readonly labels: readonly string[];
	/** The user who created the model. */
	declare readonly username: string;
	/** The workspace: 1, the built-in one. */
	declare readonly workspaceId: number;
	/** Whether the model is archived. */
	declare readonly archived: boolean;
	/** Notes, in Markdown. Ours. */
	declare readonly notes: string;
	/** The number of its versions. Ours. */
	declare readonly versionCount: number;

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
	 * Lists the versions in the order of their numbers, by default the newest first.
	 *
	 * Python: list_versions(order_by)
	 */
	listVersions(options: ListVersionsOptions = {}): AsyncList<ModelVersion> {
		return pagedList(async (page) => {
			assertKnownOptions(options, "listVersions", ["orderBy"]);
			const orderBy = enumOption(Order, options.orderBy, "orderBy");
			const { models } = await this.#session.connection();
			const answer = await models.listModelVersions({ ...page, model: String(this.modelId), orderBy });
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
	 *
	 * @example
	 * ```ts
	 * import { client } from "millrace";
	 *
	 * const { uuid } = await client.uploadCheckpoint("model.onnx", { reuse: true });
	 * const version = await client.getModel("digits").registerVersion(uuid, { name: "the first", notes: "# Better" });
	 * console.log(version.modelVersion);
	 * ```
	 */
	async registerVersion(checkpointUuid: string, options: RegisterVersionOptions = {}): Promise<ModelVersion> {
		assertKnownOptions(options, "registerVersion", ["name", "labels", "metadata", "comment", "notes"]);
		assertString(checkpointUuid, "the checkpoint's UUID");
		const { name = "", comment = "", notes = "", metadata = {}, labels = [] } = options;
		for (const [key, text] of Object.entries({ name, comment, notes })) {
			assertString(text, key);
		}
		const request = {
			...{ requestId: randomUUID(), model: String(this.modelId), checkpointUuid, name, comment, notes },
			metadata: toJsonObject(metadata, "metadata"),
			labels: checkedStrings(labels, "labels"),
		};
		const { models } = await this.#session.connection();
		const { modelVersion } = await models.registerModelVersion(request);
		return new ModelVersion(this.#session, modelVersion as ModelVersionMessage);
	}

	/**
	 * Sets keys of the metadata; the others stay. It is one change on the server, so that none is lost where several
	 * programs add keys at once.
	 *
	 * Throws `failed_precondition` if the model is archived, `invalid_argument` if the metadata is not JSON or becomes
	 * longer than 1 MiB.
	 *
	 * Python: add_metadata(metadata)
	 */
	async addMetadata(metadata: JsonObject): Promise<void> {
		await this.#update({ metadata: addition(metadata) });
	}

	/**
	 * Removes keys of the metadata, in one change on the server. A key that is not there is no error.
	 *
	 * Throws `failed_precondition` if the model is archived.
	 *
	 * Python: remove_metadata(keys)
	 */
	async removeMetadata(keys: readonly string[]): Promise<void> {
		await this.#update({ metadata: removal(keys) });
	}

	/**
	 * Sets all labels; duplicates are dropped, and the order is kept. A label may have commas.
	 *
	 * Throws `failed_precondition` if the model is archived, `invalid_argument` for an empty label.
	 *
	 * Python: set_labels(labels)
	 */
	async setLabels(labels: readonly string[]): Promise<void> {
		await this.#update({ labels: { labels: checkedStrings(labels, "labels") } });
	}

	/**
	 * Sets the description, of at most 10,000 characters.
	 *
	 * Throws `failed_precondition` if the model is archived.
	 *
	 * Python: set_description(description)
	 */
	async setDescription(description: string): Promise<void> {
		assertString(description, "description");
		await this.#update({ description });
	}

	/** Sets the notes, in Markdown, of at most 1,000,000 characters. Throws `failed_precondition` if the model is archived. */
	async setNotes(notes: string): Promise<void> {
		assertString(notes, "notes");
		await this.#update({ notes });
	}

	/**
	 * Renames the model. Its id stays.
	 *
	 * Throws `already_exists` if another model has the name, `invalid_argument` for a name that `client.createModel`
	 * refuses, `failed_precondition` if the model is archived.
	 */
	async setName(name: string): Promise<void> {
		assertString(name, "name");
		await this.#update({ name });
	}

	/**
	 * Archives the model: it is read-only, and takes no new versions.
	 *
	 * Python: archive()
	 */
	archive(): Promise<void> {
		return this.#change((models) => models.archiveModel({ model: String(this.modelId) }));
	}

	/**
	 * Makes an archived model writable again.
	 *
	 * Python: unarchive()
	 */
	unarchive(): Promise<void> {
		return this.#change((models) => models.unarchiveModel({ model: String(this.modelId) }));
	}

	/**
	 * Deletes the model and its versions. The checkpoints stay, and what was reported of them.
	 *
	 * Python: delete()
	 */
	async delete(): Promise<void> {
		const { models } = await this.#session.connection();
		await models.deleteModel({ requestId: randomUUID(), model: String(this.modelId) });
	}

	/**
	 * Fetches the model again and updates this object.
	 *
	 * Python: reload()
	 */
	reload(): Promise<void> {
		return this.#change((models) => models.getModel({ model: String(this.modelId) }));
	}

	#update(change: MessageInitShape<typeof UpdateModelRequestSchema>): Promise<void> {
		const request = { ...change, requestId: randomUUID(), model: String(this.modelId) };
		return this.#change((models) => models.updateModel(request));
	}

	async #change(call: (models: Connection["models"]) => Promise<{ model?: ModelMessage | undefined }>): Promise<void> {
		const { models } = await this.#session.connection();
		Object.assign(this, fieldsOf((await call(models)).model as ModelMessage));
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
		workspaceId: message.workspaceId,
		archived: message.archived,
		notes: message.notes,
		versionCount: message.versionCount,
	};
}
