import { CheckpointSortBy, CheckpointState } from "../../gen/millrace/v1/checkpoint_pb.js";
import { OrderBy } from "../../gen/millrace/v1/list_pb.js";
import type { JoinedRun } from "../join-run.js";
import type { Party } from "./party.js";

/** What a script goes on with. */
export interface LatestCheckpoint {
	/** The UUID of the trial's COMPLETED checkpoint with the most steps, the newest of several; null if there is none. */
	readonly latestCheckpoint: string | null;
	/** Its steps; null if there is none. */
	readonly stepsCompleted: number | null;
}

/** Finds what a script goes on with, the same for all workers. */
export async function findLatestCheckpoint({ connection, member }: JoinedRun, party: Party): Promise<LatestCheckpoint> {
	const [uuid, steps] = await party.first("finding the latest checkpoint", async (): Promise<[string, number]> => {
		const { checkpoints } = await connection.checkpoints.listCheckpoints({
			trialId: member.trialId,
			states: [CheckpointState.COMPLETED],
			sortBy: CheckpointSortBy.BATCH_NUMBER,
			orderBy: OrderBy.DESC,
			pageSize: 1,
		});
		return [checkpoints[0]?.uuid ?? "", checkpoints[0]?.stepsCompleted ?? -1];
	});
	return { latestCheckpoint: uuid === "" ? null : uuid, stepsCompleted: steps < 0 ? null : steps };
}
