import { type CollectiveChannel, type CollectiveOperation, CollectiveScope } from "../gen/millrace/v1/rendezvous_pb.js";
import { type Channel, kindOf, type OpenOperation } from "./collectives.js";
import type { MemberProgress, RunState } from "./state.js";

/** What the members of a run are at. All times are of the rendezvous' clock, in milliseconds. */
export interface RunActivity {
	/** When this was so. */
	readonly now: number;
	/** When the run fails unless all have joined or come back; undefined once they have. */
	readonly joinDeadline: number | undefined;
	/** By member UUID. */
	readonly members: ReadonlyMap<string, SeenMember>;
	/** Those in which a member waits. */
	readonly operations: readonly AwaitedOperation[];
}

/** A member, as the server sees it. */
export interface SeenMember {
	readonly isConnected: boolean;
	readonly heardAt: number;
	/** What it last told; undefined if nothing yet. */
	readonly progress: MemberProgress | undefined;
	/** When it told that. */
	readonly toldAt: number;
	/** Since when it has been where its progress says. */
	readonly unchangedSince: number;
}

/** A collective operation in which members wait for others. */
export interface AwaitedOperation {
	readonly channel: CollectiveChannel;
	/** 0 for an operation of all nodes. */
	readonly nodeRank: number;
	readonly operation: CollectiveOperation;
	readonly number: number;
	/** Ascending. */
	readonly waitingRanks: readonly number[];
	/** Ascending; empty while the server decides on the answer. */
	readonly missingRanks: readonly number[];
	/** When the first contribution came. */
	readonly since: number;
}

/** Tells what the members of a run are at. Costs a walk over them, for who asks only. */
export function runActivity(state: RunState, now: number): RunActivity {
	const { phase, joinDeadline } = state;
	const members = [...state.members.values()].map(({ join, session, ...member }) => {
		const { heardAt, progress, toldAt, unchangedSince } = member;
		const seen: SeenMember = { isConnected: session !== undefined, heardAt, progress, toldAt, unchangedSince };
		return [join.memberUuid, seen] as const;
	});
	const operations = [...state.channels.values()].flatMap((channel) =>
		[...channel.open.values()]
			.filter(({ waiting }) => waiting.size > 0)
			.map((operation) => awaited(state, channel, operation)),
	);
	return { now, joinDeadline: phase === "forming" ? joinDeadline : undefined, members: new Map(members), operations };
}

function awaited(state: RunState, { address, nodeRank }: Channel, operation: OpenOperation): AwaitedOperation {
	const { number, since, contributions, waiting } = operation;
	const isOfNode = address.scope === CollectiveScope.NODE;
	const absent = (rank: number) => !contributions.has(rank);
	return {
		channel: address,
		nodeRank: isOfNode ? nodeRank : 0,
		operation: kindOf(operation),
		number,
		since,
		waitingRanks: ascending(waiting),
		missingRanks: isOfNode
			? ascending(
					[...state.members.values()].flatMap(({ join }) => (join.nodeRank === nodeRank ? [join.rank] : [])),
				).filter(absent)
			: Array.from({ length: state.worldSize }, (_, rank) => rank).filter(absent),
	};
}

function ascending(ranks: Iterable<number>): number[] {
	return [...ranks].sort((a, b) => a - b);
}
