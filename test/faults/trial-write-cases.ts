import { randomUUID } from "node:crypto";
import { TrialService } from "../../src/gen/millrace/v1/trial_service_pb.js";
import { startTrial } from "../server/start-trial.js";
import type { TestServer } from "../support/start-test-server.js";
import type { WriteCase } from "./write-cases.js";

/** The writes by which a trial's own program says how it is. */
export const trialWriteCases: Readonly<Record<string, WriteCase>> = {
	"TrialService.ReportTrialProgress": async (server, wire) => {
		const run = await startScript(server);
		return () => wire.trials.reportTrialProgress({ ...run, progress: 0.5 });
	},

	"TrialService.SetTrialStatus": async (server, wire) => {
		const run = await startScript(server);
		return () => wire.trials.setTrialStatus({ ...run, status: "loading" });
	},

	"TrialService.UpdateTrialMetadata": async (server, wire) => {
		const trialId = await startTrial(server);
		return () =>
			wire.trials.updateTrialMetadata({ requestId: randomUUID(), trialId, metadata: { set: { a: [1, "two"] } } });
	},
};

/** Starts a run without members. */
async function startScript(server: TestServer) {
	const trialId = await startTrial(server);
	const { trialRun } = await server.client(TrialService).startTrialRun({ trialId });
	return { trialId, trialRunId: trialRun?.trialRunId ?? 0 };
}
