import { randomUUID } from "node:crypto";
import { ExperimentService } from "../../src/gen/millrace/v1/experiment_service_pb.js";
import { TrialService } from "../../src/gen/millrace/v1/trial_service_pb.js";
import type { TestServer } from "../support/start-test-server.js";
import type { WriteCase } from "./write-cases.js";

/** The writes that concern an experiment as a whole, but for its creation, pause and activation. */
export const experimentWriteCases: Readonly<Record<string, WriteCase>> = {
	"ExperimentService.UpdateExperiment": async (server, wire) => {
		const experimentId = await createExperiment(server);
		const request = { name: "other", notes: "# Notes", addLabels: ["c", "d,e"], removeLabels: ["a"] };
		return () => wire.experiments.updateExperiment({ requestId: randomUUID(), experimentId, ...request });
	},

	"ExperimentService.CancelExperiment": async (server, wire) => {
		const experimentId = await createExperiment(server);
		await createTrial(server, experimentId, "open");
		await createTrial(server, experimentId, "waiting");
		return () => wire.experiments.cancelExperiment({ experimentId });
	},

	"ExperimentService.KillExperiment": async (server, wire) => {
		const experimentId = await createExperiment(server);
		await createTrial(server, experimentId, "open");
		await createTrial(server, experimentId, "waiting");
		return () => wire.experiments.killExperiment({ experimentId });
	},

	"ExperimentService.ArchiveExperiment": async (server, wire) => {
		const experimentId = await createExperiment(server);
		return () => wire.experiments.archiveExperiment({ experimentId });
	},

	"ExperimentService.UnarchiveExperiment": async (server, wire) => {
		const experimentId = await createExperiment(server);
		await server.client(ExperimentService).archiveExperiment({ experimentId });
		return () => wire.experiments.unarchiveExperiment({ experimentId });
	},

	"ExperimentService.DeleteExperiment": async (server, wire) => {
		const experimentId = await createExperiment(server);
		await createTrial(server, experimentId, "open");
		await server.client(ExperimentService).killExperiment({ experimentId });
		return () => wire.experiments.deleteExperiment({ requestId: randomUUID(), experimentId });
	},
};

async function createExperiment(server: TestServer): Promise<number> {
	const config = { name: "twice", labels: ["a", "b"] };
	const { experiment } = await server.client(ExperimentService).createExperiment({ config });
	return experiment?.id ?? 0;
}

async function createTrial(server: TestServer, experimentId: number, state: "open" | "waiting"): Promise<void> {
	const trials = server.client(TrialService);
	const { trial } = await trials.createTrial({ experimentId });
	if (state === "open") {
		await trials.startTrialRun({ trialId: trial?.id ?? 0 });
	}
}
