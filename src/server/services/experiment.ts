import { create } from "@bufbuild/protobuf";
import { parseExperimentConfig } from "../../experiment-config.js";
import { CreateExperimentResponseSchema, type ExperimentService } from "../../gen/millrace/v1/experiment_service_pb.js";
import type { ServiceHandlers } from "../../rpc/handler.js";
import { activateExperiment, pauseExperiment } from "../db/experiment-control.js";
import { createExperiment, getExperiment, listExperiments } from "../db/experiments.js";
import { once } from "../db/request-ids.js";
import { parsePage } from "../page-token.js";
import { assertId, assertRequestId, required } from "../request-checks.js";
import { storageOf } from "../storage-config.js";
import type { ServiceContext } from "./service-context.js";
import { unimplemented } from "./unimplemented.js";

/** Operates on experiments. */
export function createExperimentService({
	db,
	defaultStorage,
}: ServiceContext): ServiceHandlers<typeof ExperimentService> {
	return {
		async createExperiment(request) {
			assertRequestId(request.requestId);
			const { config } = parseExperimentConfig(required("config", request.config));
			return db.write((tx) =>
				once(tx, request.requestId, CreateExperimentResponseSchema, async () => {
					const { name, description, labels } = config;
					const storage = storageOf(config.checkpoint_storage, defaultStorage);
					const experiment = await createExperiment(tx, { name, description, labels, config, storage });
					return create(CreateExperimentResponseSchema, { experiment });
				}),
			);
		},

		async getExperiment({ experimentId }) {
			assertId("experiment_id", experimentId);
			return { experiment: await getExperiment(db, experimentId) };
		},

		async pauseExperiment({ experimentId }) {
			assertId("experiment_id", experimentId);
			return db.write(async (tx) => {
				await pauseExperiment(tx, experimentId);
				return { experiment: await getExperiment(tx, experimentId) };
			});
		},

		async activateExperiment({ experimentId }) {
			assertId("experiment_id", experimentId);
			return db.write(async (tx) => {
				await activateExperiment(tx, experimentId);
				return { experiment: await getExperiment(tx, experimentId) };
			});
		},

		async listExperiments(request) {
			const page = parsePage("experiments", request);
			const before = Number(page.after ?? Number.MAX_SAFE_INTEGER);
			const found = await listExperiments(db, before, page.size + 1);
			const experiments = found.slice(0, page.size);
			return { experiments, nextPageToken: page.next(found.length, () => experiments.at(-1)?.id ?? 0) };
		},

		updateExperiment: unimplemented,
		cancelExperiment: unimplemented,
		killExperiment: unimplemented,
		archiveExperiment: unimplemented,
		unarchiveExperiment: unimplemented,
		deleteExperiment: unimplemented,
	};
}
