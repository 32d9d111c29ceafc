import type { TrialActivity } from "../sdk/index.js";
import { onOneLine } from "./display-width.js";
import { hasOpenRun, watchProgress } from "./watch-progress.js";

/** Says in one line what a trial is doing, as in `trial 5 run 2: 25 %, epoch 3; its 2 workers are running`. */
export function watchLine(activity: TrialActivity): string {
	const { trialId, run, state, status, message } = activity;
	const label = hasOpenRun(activity) ? `trial ${trialId} run ${run?.trialRunId}` : `trial ${trialId} ${state}`;
	const facts = [watchProgress(activity), status].filter((text) => text !== "").join(", ");
	return onOneLine(`${label}: ${facts === "" ? message : `${facts}; ${message}`}`);
}
