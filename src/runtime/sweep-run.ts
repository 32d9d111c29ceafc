import { messageOf } from "../errors.js";
import { TrialState } from "../gen/millrace/v1/trial_pb.js";
import type { JoinedRun } from "./join-run.js";
import { sweepOutputs } from "./output-sweep.js";

/**
 * Lets the chief delete what older runs wrote and never committed. What cannot be deleted is left with a
 * warning: no manifest names it, so no reader ever sees it.
 */
export async function sweepRun(run: JoinedRun, trialDirectory: string): Promise<void> {
	const { rank, trialRunId } = run.member;
	if (rank === 0 && trialRunId > 1) {
		await sweepBefore(run, trialDirectory, trialRunId);
	}
}

/**
 * Lets a worker whose trial has gone on without it, as it was frozen or cut off, delete what it wrote since and cannot
 * commit any more. What it leaves in any other case, the next run deletes.
 */
export async function sweepIfFenced(run: JoinedRun, trialDirectory: string): Promise<void> {
	const { trialId, trialRunId } = run.member;
	const { trial } = await run.connection.trials
		.getTrial({ trialId }, { retryMs: sweepMs })
		.catch(() => ({ trial: null }));
	// Without an answer nothing is deleted.
	if (trial && (trial.trialRunId > trialRunId || trial.state === TrialState.COMPLETED)) {
		await sweepBefore(run, trialDirectory, trialRunId + 1);
	}
}

async function sweepBefore(
	{ connection, member }: JoinedRun,
	trialDirectory: string,
	trialRunId: number,
): Promise<void> {
	try {
		const committed: string[] = [];
		let pageToken = "";
		do {
			const page = { trialId: member.trialId, pageSize: 1000, pageToken };
			const { outputs, nextPageToken } = await connection.trials.listTrialOutputs(page, { retryMs: sweepMs });
			committed.push(...outputs.flatMap(({ file }) => (file === undefined ? [] : [file.path])));
			pageToken = nextPageToken;
		} while (pageToken !== "");
		await sweepOutputs(trialDirectory, committed, trialRunId);
	} catch (error) {
		console.warn(`millrace: uncommitted files of older runs in ${trialDirectory} stay: ${messageOf(error)}`);
	}
}

/** How long the sweep waits for a server that is away: it is not worth more. */
const sweepMs = 5_000;
