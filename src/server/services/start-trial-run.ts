import { create } from "@bufbuild/protobuf";
import { MillraceError } from "../../errors.js";
import { TrialRunState } from "../../gen/millrace/v1/trial_pb.js";
import {
	type StartTrialRunRequest,
	type StartTrialRunResponse,
	StartTrialRunResponseSchema,
} from "../../gen/millrace/v1/trial_service_pb.js";
import { findAnswer, once } from "../db/request-ids.js";
import { closeRun, findOpenRun, ownerText, startRun, type TrialRunRow, toTrialRun } from "../db/trial-runs.js";
import { getTrialRow } from "../db/trials.js";
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

async function closeAbandoned({ db, owners, runClosed }: ServiceContext, trialId: number): Promise<void> {
	const open = await findOpenRun(db, trialId);
	if (open === undefined) {
		return;
	}
	if (!(await owners.isAbandoned(open))) {
		throw new MillraceError("failed_precondition", stillOpenText(open));
	}
	const reason = open.owner_uuid === "" ? "its workers went, or never came" : `its owner, ${ownerText(open)}, is gone`;
	// If it has got a verdict meanwhile, it keeps that.
	const { trial_run_id: trialRunId } = open;
	await db.write((tx) => closeRun(tx, trialId, trialRunId, TrialRunState.FAILED, reason));
	runClosed(trialId, trialRunId, TrialRunState.FAILED, reason);
}

function stillOpenText(run: TrialRunRow): string {
	const name = `run ${run.trial_run_id} of trial ${run.trial_id} is open`;
	return run.owner_uuid === ""
		? `${name}, with workers in it; end them first, or wait until they have ended`
		: `${name}, and ${ownerText(run)} owns it; end that process first, or wait until it has ended`;
}
