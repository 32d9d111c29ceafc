import { create } from "@bufbuild/protobuf";
import {
	type StartTrialRunRequest,
	type StartTrialRunResponse,
	StartTrialRunResponseSchema,
} from "../../gen/millrace/v1/trial_service_pb.js";
import { findAnswer, once } from "../db/request-ids.js";
import { startRun, toTrialRun } from "../db/trial-runs.js";
import { getTrialRow } from "../db/trials.js";
import { closeAbandoned } from "./close-abandoned.js";
import type { ServiceContext } from "./service-context.js";

/**
 * Starts the next run of a trial. Where one is open, waits until nobody is left of it, and closes it as FAILED.
 *
 * Throws `failed_precondition` if a run is open and stays so, or the trial is paused, completed or canceled.
 */
export async function startTrialRun(
	context: ServiceContext,
	request: StartTrialRunRequest,
): Promise<StartTrialRunResponse> {
	const { db, owners } = context;
	const { requestId, trialId, worldSize, ownerHost, ownerUuid, ownerPid } = request;
	const known = await findAnswer(db, requestId, StartTrialRunResponseSchema);
	if (known === undefined) {
		await closeAbandoned(context, trialId);
	}
	const owner = { host: ownerHost, uuid: ownerUuid, pid: ownerPid };
	const response = await db.write((tx) =>
		once(tx, requestId, StartTrialRunResponseSchema, async () => {
			const run = await startRun(tx, await getTrialRow(tx, trialId), { worldSize, owner });
			return create(StartTrialRunResponseSchema, { trialRun: toTrialRun(run) });
		}),
	);
	owners.hear({ trial_id: trialId, trial_run_id: response.trialRun?.trialRunId ?? 0 });
	return response;
}
