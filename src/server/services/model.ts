import { create } from "@bufbuild/protobuf";
import {
	CreateModelResponseSchema,
	type ModelService,
	RegisterModelVersionResponseSchema,
} from "../../gen/millrace/v1/model_service_pb.js";
import type { ServiceHandlers } from "../../rpc/handler.js";
import { getModelVersion, listModelVersions, registerModelVersion } from "../db/model-versions.js";
import { createModel, getModelRow, listModels, toModel } from "../db/models.js";
import { once } from "../db/request-ids.js";
import { assertModelName } from "../model-name.js";
import { parsePage } from "../page-token.js";
import { assertNotNegative, assertRequestId, assertText, checkedUuid } from "../request-checks.js";
import type { ServiceContext } from "./service-context.js";
import { unimplemented } from "./unimplemented.js";

/** Operates on models and their versions. */
export function createModelService({ db }: ServiceContext): ServiceHandlers<typeof ModelService> {
	return {
		async createModel({ requestId, name, description, metadata, labels, existOk }) {
			assertRequestId(requestId);
			assertModelName(name);
			return db.write((tx) =>
				once(tx, requestId, CreateModelResponseSchema, async () => {
					const model = await createModel(tx, { name, description, metadata, labels, existOk });
					return create(CreateModelResponseSchema, { model });
				}),
			);
		},

		async getModel({ model }) {
			assertText("model", model);
			return { model: toModel(await getModelRow(db, model)) };
		},

		async listModels(request) {
			const page = parsePage("models", request);
			const found = await listModels(db, String(page.after ?? ""), page.size + 1);
			const models = found.slice(0, page.size);
			return { models, nextPageToken: page.next(found.length, () => models.at(-1)?.name ?? "") };
		},

		async registerModelVersion({ requestId, model, checkpointUuid, name, comment, notes, metadata, labels }) {
			assertRequestId(requestId);
			assertText("model", model);
			const version = {
				model,
				checkpointUuid: checkedUuid("checkpoint_uuid", checkpointUuid),
				name,
				comment,
				notes,
				metadata,
				labels,
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
			const [newest] = await listModelVersions(db, row, Number.MAX_SAFE_INTEGER, 1);
			return newest === undefined ? {} : { modelVersion: newest };
		},

		async listModelVersions(request) {
			assertText("model", request.model);
			const row = await getModelRow(db, request.model);
			const page = parsePage(`model-versions of ${row.id}`, request);
			const before = Number(page.after ?? Number.MAX_SAFE_INTEGER);
			const found = await listModelVersions(db, row, before, page.size + 1);
			const modelVersions = found.slice(0, page.size);
			return { modelVersions, nextPageToken: page.next(found.length, () => modelVersions.at(-1)?.version ?? 0) };
		},

		updateModel: unimplemented,
		archiveModel: unimplemented,
		unarchiveModel: unimplemented,
		deleteModel: unimplemented,
		listModelLabels: unimplemented,
		updateModelVersion: unimplemented,
		deleteModelVersion: unimplemented,
	};
}
