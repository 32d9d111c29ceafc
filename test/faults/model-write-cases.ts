import { randomUUID } from "node:crypto";
import { ModelService } from "../../src/gen/millrace/v1/model_service_pb.js";
import type { TestServer } from "../support/start-test-server.js";
import { storeCheckpoint } from "../support/store-checkpoint.js";
import type { WriteCase } from "./write-cases.js";

/** The writes to models and their versions. */
export const modelWriteCases: Readonly<Record<string, WriteCase>> = {
	"ModelService.UpdateModel": async (server, wire) => {
		await createModel(server);
		const change = { name: "renamed", description: "d", metadata: { set: { a: 1 } }, labels: { labels: ["x"] } };
		// By the old name, which the repeated request finds no more.
		return () => wire.models.updateModel({ requestId: randomUUID(), model: "twice", ...change });
	},

	"ModelService.ArchiveModel": async (server, wire) => {
		await createModel(server);
		return () => wire.models.archiveModel({ model: "twice" });
	},

	"ModelService.UnarchiveModel": async (server, wire) => {
		await createModel(server);
		await server.client(ModelService).archiveModel({ model: "twice" });
		return () => wire.models.unarchiveModel({ model: "twice" });
	},

	"ModelService.DeleteModel": async (server, wire) => {
		await createModel(server);
		return () => wire.models.deleteModel({ requestId: randomUUID(), model: "twice" });
	},

	"ModelService.UpdateModelVersion": async (server, wire) => {
		await createModel(server);
		const change = { name: "n", notes: "# N", metadata: { clear: true }, labels: { labels: ["x"] } };
		return () => wire.models.updateModelVersion({ requestId: randomUUID(), model: "twice", version: 1, ...change });
	},

	"ModelService.DeleteModelVersion": async (server, wire) => {
		await createModel(server);
		return () => wire.models.deleteModelVersion({ requestId: randomUUID(), model: "twice", version: 1 });
	},
};

/** Creates a model with one version. */
async function createModel(server: TestServer): Promise<void> {
	const models = server.client(ModelService);
	await models.createModel({ name: "twice", labels: ["y"] });
	await models.registerModelVersion({ model: "twice", checkpointUuid: await storeCheckpoint(server) });
}
