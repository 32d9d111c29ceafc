import { MillraceError } from "../errors.js";

/** The calls that went well or are under way, by MILLRACE_TRIAL_ID: the name of each. */
const called = new Map<string, string>();

/**
 * Notes a call of `name` that joins the trial that MILLRACE_TRIAL_ID names. After one that went well, the trial's work is
 * done or waits for another run, so a second would be told "completed" without a look at its own data. Returns what
 * takes it back: a call that has thrown may be made again. Without MILLRACE_TRIAL_ID each call makes a trial of its own.
 *
 * Throws `failed_precondition` for a second call with the same trial.
 */
export function claimTrial(name: string): () => void {
	const trial = process.env.MILLRACE_TRIAL_ID;
	if (!trial) {
		return () => {};
	}
	const earlier = called.get(trial);
	if (earlier !== undefined) {
		throw new MillraceError(
			"failed_precondition",
			`${earlier} was called before in this process with trial ${trial} (MILLRACE_TRIAL_ID), and a trial is one` +
				" job; call it once, or start another script with a trial of its own",
		);
	}
	called.set(trial, name);
	return () => void called.delete(trial);
}

/** Makes a call of `name` as `claimTrial` permits it. */
export async function oncePerTrial<T>(name: string, call: () => Promise<T>): Promise<T> {
	const takeBack = claimTrial(name);
	try {
		return await call();
	} catch (error) {
		takeBack();
		throw error;
	}
}
