import { isMillraceError } from "../errors.js";
import { listOpenRuns, type TrialRunRow } from "./db/trial-runs.js";
import { closeAsAbandoned } from "./services/close-abandoned.js";
import type { ServiceContext } from "./services/service-context.js";

/** How often it is looked for runs that nobody attends to, in milliseconds. */
const lookMs = 1_000;

/**
 * Closes open runs as FAILED that nobody attends to any more, so that after a power cut none shows as open for ever.
 * Tells what goes wrong. Returns the function that ends it.
 */
export function closeForgottenRuns(context: ServiceContext, onError: (error: unknown) => void): () => Promise<void> {
	let suspects: ReadonlySet<string> = new Set();
	let working: Promise<void> | undefined;
	const timer = setInterval(() => {
		working ??= look(context, suspects)
			.then((found) => {
				suspects = found;
			}, onError)
			.finally(() => {
				working = undefined;
			});
	}, lookMs);
	timer.unref();
	return async () => {
		clearInterval(timer);
		await working;
	};
}

/** Closes the runs that were suspects before and are so now, and returns those that are new. */
async function look(context: ServiceContext, before: ReadonlySet<string>): Promise<Set<string>> {
	const suspects = new Set<string>();
	for (const run of await listOpenRuns(context.db)) {
		if (!(await context.owners.isForgotten(run))) {
			continue;
		}
		// One that has just started may not have been heard of yet.
		if (!before.has(keyOf(run)) || !(await tryToClose(context, run))) {
			suspects.add(keyOf(run));
		}
	}
	return suspects;
}

async function tryToClose(context: ServiceContext, run: TrialRunRow): Promise<boolean> {
	try {
		await closeAsAbandoned(context, run);
		return true;
	} catch (error) {
		// The disk is full, which was said, or the server is stopping.
		if (isMillraceError(error, "unavailable")) {
			return false;
		}
		throw error;
	}
}

function keyOf(run: TrialRunRow): string {
	return `${run.trial_id}/${run.trial_run_id}`;
}
