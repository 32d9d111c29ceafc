import { create, toBinary } from "@bufbuild/protobuf";
import { OrderBy } from "../../gen/millrace/v1/list_pb.js";
import { ModelSortBy, type ModelVersion, ModelVersionSchema } from "../../gen/millrace/v1/model_pb.js";
import {
	CreateModelResponseSchema,
	DeleteModelResponseSchema,
	DeleteModelVersionResponseSchema,
	type ModelService,
	RegisterModelVersionResponseSchema,
	UpdateModelResponseSchema,
	UpdateModelVersionResponseSchema,
} from "../../gen/millrace/v1/model_service_pb.js";
import type { ServiceHandlers } from "../../rpc/handler.js";
import { asUser } from "../auth/as-user.js";
import { byModelCount, listModelLabels, listModels } from "../db/model-lists.js";
import {
	deleteModelVersion,
	getModelVersion,
	getNewestModelVersion,
	listModelVersions,
	registerModelVersion,
	toModelVersions,
	updateModelVersion,
} from "../db/model-versions.js";
import {
	createModel,
	deleteModel,
	getModelRow,
	type ModelRow,
	setModelArchived,
	toModel,
	updateModel,
} from "../db/models.js";
import { once } from "../db/request-ids.js";
import type { Sort } from "../db/sorted-page.js";
import { checkedLabels } from "../labels.js";
import { assertMetadataChange, checkedObject } from "../metadata-change.js";
import { assertModelName } from "../model-name.js";
import { isDescending, parseSortedPage } from "../page-token.js";
import {
	assertEnum,
	assertId,
	assertNotNegative,
	assertPlainText,
	assertRequestId,
	assertText,
	checkedUuid,
} from "../request-checks.js";
import type { ServiceContext } from "./service-context.js";

/** Operates on models and their versions. */
export function createModelService({ db }: ServiceContext): ServiceHandlers<typeof ModelService> {
	return {
		async createModel({ requestId, name, description, metadata, labels, existOk }, { caller }) {
			assertRequestId(requestId);
			assertModelName(name);
			assertTexts({ description });
			const model = {
				name,
				description,
				metadata: checkedObject("metadata", metadata),
				labels: checkedLabels("labels", labels),
				existOk,
				username: asUser(caller).username,
			};
			return db.write((tx) =>
				once(tx, requestId, CreateModelResponseSchema, async () =>
					create(CreateModelResponseSchema, { model: await createModel(tx, model) }),
				),
			);
		},

		async getModel({ model }) {
			assertText("model", model);
			return { model: toModel(await getModelRow(db, model)) };
		},

		async listModels(request) {
			assertNotNegative("model_id", request.modelId);
			assertEnum("sort_by", ModelSortBy, request.sortBy);
			const column = sortColumns[request.sortBy];
			const sort: Sort = {
				key: column,
				kind: column === "name" || column === "description" ? "text" : "number",
				descending: isDescending(request.orderBy, OrderBy.ASC),
			};
			const page = parseSortedPage(request, sort);
			const found = await listModels(db, request, page);
			const { rows, nextPageToken } = page.take(found, (row) => [row[column], row.id], bytesOfModel);
			return { models: rows.map(toModel), nextPageToken };
		},

		async updateModel({ requestId, model, name, description, notes, metadata, labels }) {
			assertRequestId(requestId);
			assertText("model", model);
			if (name !== undefined) {
				assertModelName(name);
			}
			assertTexts({ description, notes });
			assertMetadataChange("metadata", metadata);
			const change = { name, description, notes, metadata, labels: labels && checkedLabels("labels", labels.labels) };
			return db.write(async (tx) => {
				// Of the first answer only the id is kept: metadata that grows would be kept with each of its changes.
				const { model: changed } = await once(tx, requestId, UpdateModelResponseSchema, async () =>
					create(UpdateModelResponseSchema, { model: { id: await updateModel(tx, model, change) } }),
				);
				return { model: toModel(await getModelRow(tx, String(changed?.id))) };
			});
		},

		async archiveModel({ model }) {
			assertText("model", model);
			return { model: await db.write((tx) => setModelArchived(tx, model, true)) };
		},

		async unarchiveModel({ model }) {
			assertText("model", model);
			return { model: await db.write((tx) => setModelArchived(tx, model, false)) };
		},

		async deleteModel({ requestId, model }) {
			assertRequestId(requestId);
			assertText("model", model);
			return db.write((tx) =>
				once(tx, requestId, DeleteModelResponseSchema, async () => {
					await deleteModel(tx, model);
					return create(DeleteModelResponseSchema);
				}),
			);
		},

		async listModelLabels(request) {
			const page = parseSortedPage(request, byModelCount);
			const found = await listModelLabels(db, page);
			const { rows, nextPageToken } = page.take(found, (row) => [row.negative_count, row.label]);
			return { labels: rows.map(({ label }) => label), nextPageToken };
		},

		async registerModelVersion(request, { caller }) {
			const { requestId, model, checkpointUuid, name, comment, notes, metadata, labels } = request;
			assertRequestId(requestId);
			assertText("model", model);
			assertTexts({ name, comment, notes });
			const version = {
				model,
				checkpointUuid: checkedUuid("checkpoint_uuid", checkpointUuid),
				name,
				comment,
				notes,
				metadata: checkedObject("metadata", metadata),
				labels: checkedLabels("labels", labels),
				username: asUser(caller).username,
			};
			return db.write((tx) =>
				once(tx, requestId, RegisterModelVersionResponseSchema, async () =>
					create(RegisterModelVersionResponseSchema, { modelVersion: await registerModelVersion(tx, version) }),
				),
			);
		},

		async getModelVersion({ model, version }) {
			assertText("model", model);
			assertNotNegative("version", version);
			const row = await getModelRow(db, model);
			if (version > 0) {
				return { modelVersion: await getModelVersion(db, row, version) };
			}
			const newest = await getNewestModelVersion(db, row);
			return newest === undefined ? {} : { modelVersion: newest };
		},

		async listModelVersions(request) {
			assertText("model", request.model);
			const descending = isDescending(request.orderBy, OrderBy.DESC);
			const page = parseSortedPage(request, { key: "version", kind: "number", descending });
			const model = await getModelRow(db, request.model);
			const found = await toModelVersions(db, model, await listModelVersions(db, model, page));
			const { rows, nextPageToken } = page.take(found, ({ version }) => [version, version], bytesOfVersion);
			return { modelVersions: rows, nextPageToken };
		},

		async updateModelVersion({ requestId, model, version, name, comment, notes, metadata, labels }) {
			assertRequestId(requestId);
			assertText("model", model);
			assertId("version", version);
			assertTexts({ name, comment, notes });
			assertMetadataChange("metadata", metadata);
			const change = { name, comment, notes, metadata, labels: labels && checkedLabels("labels", labels.labels) };
			return db.write(async (tx) => {
				const { modelVersion: changed } = await once(tx, requestId, UpdateModelVersionResponseSchema, async () => {
					const modelId = await updateModelVersion(tx, model, version, change);
					return create(UpdateModelVersionResponseSchema, { modelVersion: { modelId, version } });
				});
				const row = await getModelRow(tx, String(changed?.modelId));
				return { modelVersion: await getModelVersion(tx, row, changed?.version ?? 0) };
			});
		},

		async deleteModelVersion({ requestId, model, version }) {
			assertRequestId(requestId);
			assertText("model", model);
			assertId("version", version);
			return db.write((tx) =>
				once(tx, requestId, DeleteModelVersionResponseSchema, async () => {
					await deleteModelVersion(tx, model, version);
					return create(DeleteModelVersionResponseSchema);
				}),
			);
		},
	};
}

const sortColumns = {
	[ModelSortBy.UNSPECIFIED]: "id",
	[ModelSortBy.NAME]: "name",
	[ModelSortBy.DESCRIPTION]: "description",
	[ModelSortBy.CREATION_TIME]: "create_time",
	[ModelSortBy.LAST_UPDATED_TIME]: "update_time",
	[ModelSortBy.NUM_VERSIONS]: "version_count",
} as const;

/** Throws `invalid_argument` for a text that is too long, or cannot be stored; undefined is none. */
function assertTexts(texts: Record<string, string | undefined>): void {
	for (const [field, text] of Object.entries(texts)) {
		assertPlainText(field, text ?? "", field === "notes" ? 1_000_000 : 10_000);
	}
}

/** Returns how large a model is, roughly. */
function bytesOfModel({ description, notes, metadata, labels }: ModelRow): number {
	return description.length + notes.length + metadata.length + labels.length;
}

/** Returns how large a version is with its checkpoint. */
function bytesOfVersion(version: ModelVersion): number {
	return toBinary(ModelVersionSchema, version).length;
}
