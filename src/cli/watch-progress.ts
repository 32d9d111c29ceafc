import { count, formatDuration, rateText } from "../launcher/progress-line.js";
import type { TrialActivity } from "../sdk/index.js";

/**
 * Says how far and how fast a trial is, as in `4,096 / 10,000 records (40 %), 62 records/s, 1 min 36 s left`; for one
 * with a loop of its own what its program reported, as in `25 %`. Empty while nothing is known.
 */
export function watchProgress(activity: TrialActivity): string {
	const { recordsDone, recordsFailed, recordsTotal, recordsPerSecond, secondsLeft } = activity;
	const percent = `${Math.floor(activity.progress * 100)} %`;
	if (recordsTotal === 0) {
		return activity.progress === 0 ? "" : percent;
	}
	// A record that failed and was skipped is behind us too.
	const behind = recordsDone + recordsFailed;
	const failed = recordsFailed === 0 ? "" : `, ${count(recordsFailed)} failed`;
	const rate = recordsPerSecond === null ? "" : `, ${rateText(recordsPerSecond)} records/s`;
	const left = secondsLeft === null || behind >= recordsTotal ? "" : `, ${formatDuration(secondsLeft)} left`;
	return `${count(behind)} / ${count(recordsTotal)} records (${percent}${failed})${rate}${left}`;
}

/** Tells whether a trial has a run that is under way. */
export function hasOpenRun({ run }: Pick<TrialActivity, "run">): boolean {
	return run?.state === "FORMING" || run?.state === "RUNNING";
}
