import { MillraceError } from "../errors.js";

/** The trials, by MILLRACE_TRIAL_ID, of the calls that went well or are under way. */
const called = new Set<string>();

/**
 * Makes a call that joins the trial that MILLRACE_TRIAL_ID names. After one that went well, the trial's work is done or
 * waits for another run, so a second would be told "completed" without a look at its own data. A call that has thrown
 * may be made again. Without the name each call makes a trial of its own.
 *
 * Throws `failed_precondition` for a second call with the same trial.
 */
export async function oncePerTrial<T>(call: () => Promise<T>): Promise<T> {
	const trial = process.env.MILLRACE_TRIAL_ID;
	if (!trial) {
		return call();
	}
	if (called.has(trial)) {
		throw new MillraceError(
			"failed_precondition",
			`batchProcess was called before in this process with trial ${trial} (MILLRACE_TRIAL_ID), and a trial is one` +
				" data set; call it once, or start another script with a trial of its own",
		);
	}
	called.add(trial);
	try {
		return await call();
	} catch (error) {
		called.delete(trial);
		throw error;
	}
}
