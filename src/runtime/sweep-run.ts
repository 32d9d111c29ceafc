import { messageOf } from "../errors.js";
import type { JoinedRun } from "./join-run.js";
import { sweepOutputs } from "./output-sweep.js";

/**
 * Lets the chief delete what older runs wrote and never committed. What cannot be deleted is left with a
 * warning: no manifest names it, so no reader ever sees it.
 */
export async function sweepRun({ connection, member }: JoinedRun, trialDirectory: string): Promise<void> {
	if (member.rank !== 0 || member.trialRunId === 1) {
		return;
	}
	try {
		const committed: string[] = [];
		let pageToken = "";
		do {
			const page = { trialId: member.trialId, pageSize: 1000, pageToken };
			const { outputs, nextPageToken } = await connection.trials.listTrialOutputs(page, { retryMs: sweepMs });
			committed.push(...outputs.flatMap(({ file }) => (file === undefined ? [] : [file.path])));
			pageToken = nextPageToken;
		} while (pageToken !== "");
		await sweepOutputs(trialDirectory, committed, member.trialRunId);
	} catch (error) {
		console.warn(`millrace: uncommitted files of older runs in ${trialDirectory} stay: ${messageOf(error)}`);
	}
}

/** How long the sweep waits for a server that is away: it is not worth more. */
const sweepMs = 5_000;
