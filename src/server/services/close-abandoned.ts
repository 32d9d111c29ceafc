import { MillraceError } from "../../errors.js";
import { TrialRunState } from "../../gen/millrace/v1/trial_pb.js";
import { enumValue } from "../db/enum-name.js";
import { closeRun, findOpenRun, ownerText, type TrialRunRow } from "../db/trial-runs.js";
import { isScript } from "../run-owners.js";
import type { ServiceContext } from "./service-context.js";

/**
 * Waits until nobody is left of a trial's open run, if it has one, and closes it as FAILED.
 *
 * Throws `failed_precondition` if its owner or its workers live.
 */
export async function closeAbandoned(context: ServiceContext, trialId: number): Promise<void> {
	const open = await findOpenRun(context.db, trialId);
	if (open === undefined) {
		return;
	}
	if (!(await context.owners.isAbandoned(open))) {
		throw new MillraceError("failed_precondition", stillOpenText(open));
	}
	await closeAsAbandoned(context, open);
}

/** Closes a run that nobody attends to as FAILED, and says who is gone. */
export async function closeAsAbandoned({ db, runClosed }: ServiceContext, open: TrialRunRow): Promise<void> {
	const reason = whyAbandoned(open);
	const { trial_id: trialId, trial_run_id: trialRunId } = open;
	// If it has got a verdict meanwhile, it keeps that.
	const run = await db.write((tx) => closeRun(tx, trialId, trialRunId, TrialRunState.FAILED, reason));
	runClosed(trialId, trialRunId, enumValue(TrialRunState, run.state), run.reason);
}

function whyAbandoned(run: TrialRunRow): string {
	if (run.state === "RUNNING" && run.world_size > 0) {
		return "its workers are gone, and did not come back to the server";
	}
	return run.owner_uuid === "" ? "its workers went, or never came" : `its owner, ${ownerText(run)}, is gone`;
}

function stillOpenText(run: TrialRunRow): string {
	const name = `run ${run.trial_run_id} of trial ${run.trial_id} is open`;
	if (isScript(run)) {
		return `${name}, and whoever started it may still report to it; end it first (EndTrialRun), or kill the trial`;
	}
	return run.owner_uuid === ""
		? `${name}, with workers in it; end them first, or wait until they have ended`
		: `${name}, and ${ownerText(run)} owns it; end that process first, or wait until it has ended`;
}
