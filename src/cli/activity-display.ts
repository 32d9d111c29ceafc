import type { TrialActivity } from "../sdk/index.js";

/** After how long without an answer of the server that is worth a word, in milliseconds. */
export const silenceMs = 5_000;

/** Shows activities of a trial, one after the other. */
export interface ActivityDisplay {
	/** Shows the next one; `isLast` if the trial has ended with it. */
	show(activity: TrialActivity, isLast: boolean): Promise<void>;
	/** Ends, also where no last one came. */
	close(): void;
}
