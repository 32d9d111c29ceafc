import type { JoinRequest } from "../gen/millrace/v1/rendezvous_pb.js";

/** The ranks of a run that are not there, the first ten of them by number, as in "0, 3". */
export function absentRanks(present: ReadonlyMap<number, unknown>, worldSize: number): string {
	const count = worldSize - present.size;
	const first: number[] = [];
	for (let rank = 0; first.length < Math.min(count, 10); rank++) {
		if (!present.has(rank)) {
			first.push(rank);
		}
	}
	return count <= 10 ? first.join(", ") : `${first.join(", ")} and ${count - 10} more`;
}

/** Says what does not fit where workers of one node disagree on who is there; undefined if all fits. */
export function nodeConflict(members: readonly JoinRequest[]): string | undefined {
	const nodes = new Map<number, JoinRequest[]>();
	for (const join of members) {
		nodes.set(join.nodeRank, [...(nodes.get(join.nodeRank) ?? []), join]);
	}
	for (const [node, joins] of nodes) {
		const localRanks = new Set(joins.map(({ localRank }) => localRank));
		const wrong = joins.find(({ localWorldSize }) => localWorldSize !== joins.length);
		if (wrong !== undefined || localRanks.size !== joins.length) {
			const ranks = joins.map(
				({ rank, localRank, localWorldSize }) => `rank ${rank} is ${localRank} of ${localWorldSize}`,
			);
			return `the workers of node ${node} do not fit together (${ranks.slice(0, 10).join(", ")}): check LOCAL_RANK, LOCAL_WORLD_SIZE and GROUP_RANK`;
		}
	}
	return undefined;
}
