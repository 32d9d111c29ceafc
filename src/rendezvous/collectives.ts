import {
	CollectiveCaller as Caller,
	type CollectiveChannel,
	type Contribution,
	CollectiveOperation as Operation,
	CollectiveScope as Scope,
} from "../gen/millrace/v1/rendezvous_pb.js";
import type { MemberState } from "./presence.js";
import { type Answer, type Contributed, failRun, memberWith, type RunEffect, type RunState } from "./state.js";

/** One sequence of operations among the members of the world, or of one node. */
export interface Channel {
	readonly key: string;
	readonly address: CollectiveChannel;
	/** How messages call it. */
	readonly name: string;
	/** The node of its members; of no meaning for the world's. */
	readonly nodeRank: number;
	/** The number of its members. */
	readonly size: number;
	/**
	 * The number of the last operation that was answered; undefined while the members of a run that is older than
	 * this server have not told enough.
	 */
	answered: number | undefined;
	/** Those that are not answered, by number: one, or what members that come back remember. */
	readonly open: Map<number, OpenOperation>;
	/** Whether all have contributed, and the server is deciding on the answer. */
	deciding: boolean;
	/** The last answer, for members that did not get it. */
	last: Answer | undefined;
}

/** An operation that is not answered yet. */
export interface OpenOperation {
	readonly number: number;
	/** When the first contribution came to this server. */
	readonly since: number;
	readonly contributions: Map<number, Contribution>;
	/** The ranks that wait for the answer: all that have contributed but those that remember it. */
	readonly waiting: Set<number>;
	/** The answer that a member got from a server that is gone. The others get the same. */
	answered: { readonly preempted: boolean } | undefined;
}

/**
 * How long nothing may have been contributed before members that all wait are said to wait for each other. What
 * one of them sends on an answer that it just got may be on its way.
 */
export const settleMs = 300;

/**
 * Takes a contribution, and answers the operation if it was the last.
 *
 * The members of a channel are at most one operation apart, since nobody is answered before all have contributed. So
 * when each of them tells a server that was started again of its last answered operation and of the one that it
 * waits in, all contributions to the lowest of the latter are known.
 */
export function contribute(state: RunState, event: Contributed, now: number): RunEffect[] {
	const { rank, session, contribution, answered } = event;
	const member = memberWith(state, rank, session);
	if (member === undefined || contribution.channel === undefined) {
		return [];
	}
	const channel = channelOf(state, contribution.channel, member);
	const { number } = contribution;
	if (channel.answered !== undefined && number <= channel.answered) {
		if (answered !== undefined) {
			return [];
		}
		if (number === channel.answered && channel.last?.contributions.has(rank)) {
			return [{ kind: "answer", session, rank, answer: channel.last }];
		}
	}
	const wrong = outOfOrder(channel, number);
	if (wrong !== undefined) {
		return failRun(state, `rank ${rank} is at operation ${number} of the ${channel.name}, the others at ${wrong}`);
	}
	const operation = openOperation(channel, number, now);
	const [otherRank, given] = operation.contributions.entries().next().value ?? [rank, contribution];
	if (given.operation !== contribution.operation) {
		return failRun(
			state,
			`operation ${number} of the ${channel.name} is ${nameOf(given)} on rank ${otherRank}` +
				` but ${nameOf(contribution)} on rank ${rank}; all ranks must call the same operations in the same order`,
		);
	}
	operation.contributions.set(rank, contribution);
	if (answered === undefined) {
		operation.waiting.add(rank);
	}
	operation.answered ??= answered;
	state.stuckCheckAt = now + settleMs;
	return completeNext(state, channel);
}

/** Gives the answer that was decided on. A run that is preempted, or finished, has ended with it. */
export function decided(state: RunState, key: string, preempted: boolean, now: number): RunEffect[] {
	const channel = state.channels.get(key);
	const operation = channel === undefined ? undefined : completeOperation(channel);
	if (channel === undefined || operation === undefined) {
		return [];
	}
	channel.deciding = false;
	state.stuckCheckAt = now + settleMs;
	const kind = kindOf(operation);
	const effects = answer(state, channel, operation, preempted);
	if (preempted || kind === Operation.FINISH) {
		state.phase = "ended";
		return effects;
	}
	return [...effects, ...completeNext(state, channel)];
}

/** If every member waits in an operation, and none of these can complete, nobody would ever go on. */
export function failIfStuck(state: RunState, now: number): RunEffect[] {
	if (state.phase === "ended" || state.stuckCheckAt === undefined || state.stuckCheckAt > now) {
		return [];
	}
	state.stuckCheckAt = undefined;
	const waits = new Map<number, string>();
	for (const channel of state.channels.values()) {
		if (channel.deciding) {
			return [];
		}
		for (const { waiting, contributions } of channel.open.values()) {
			for (const rank of waiting) {
				waits.set(rank, `rank ${rank} in ${nameOf(contributions.get(rank))} of the ${channel.name}`);
			}
		}
	}
	if (waits.size < state.worldSize) {
		return [];
	}
	const list = [...waits].sort(([a], [b]) => a - b).map(([, wait]) => wait);
	const rest = list.length > listed ? ` and ${list.length - listed} more` : "";
	return failRun(state, `all workers wait for each other: ${list.slice(0, listed).join(", ")}${rest}`);
}

/** The most ranks that a message lists. */
const listed = 20;

/** Says where the others are, if an operation of this number cannot be next. */
function outOfOrder(channel: Channel, number: number): number | undefined {
	if (channel.answered !== undefined) {
		return number === channel.answered + 1 ? undefined : channel.answered + 1;
	}
	// Whoever is behind still remembers the operation before its own, and whoever is ahead is in the one after it.
	return [...channel.open.keys()].find((other) => Math.abs(other - number) > 2);
}

function completeNext(state: RunState, channel: Channel): RunEffect[] {
	const operation = channel.deciding ? undefined : completeOperation(channel);
	if (operation === undefined) {
		return [];
	}
	const kind = kindOf(operation);
	if (operation.answered !== undefined) {
		const effects = answer(state, channel, operation, operation.answered.preempted);
		return [...effects, ...completeNext(state, channel)];
	}
	const { key } = channel;
	if (kind === Operation.STEP) {
		channel.deciding = true;
		const done = [...operation.contributions.values()].every((given) => given.done);
		return [{ kind: "decide-step", channel: key, done }];
	}
	if (kind === Operation.FINISH) {
		channel.deciding = true;
		const lowest = Math.min(...operation.contributions.keys());
		return [{ kind: "finish", channel: key, results: operation.contributions.get(lowest)?.results ?? [] }];
	}
	return answer(state, channel, operation, false);
}

function completeOperation(channel: Channel): OpenOperation | undefined {
	return [...channel.open.values()].find(({ contributions }) => contributions.size === channel.size);
}

function answer(state: RunState, channel: Channel, operation: OpenOperation, preempted: boolean): RunEffect[] {
	const { number, waiting } = operation;
	const contributions = new Map([...operation.contributions].sort(([a], [b]) => a - b));
	const last: Answer = { channel: channel.address, number, operation: kindOf(operation), contributions, preempted };
	channel.answered = number;
	channel.last = last;
	for (const earlier of [...channel.open.keys()].filter((other) => other <= number)) {
		channel.open.delete(earlier);
	}
	return [...contributions.keys()].flatMap((rank) => {
		const session = waiting.has(rank) ? state.members.get(rank)?.session : undefined;
		return session === undefined ? [] : [{ kind: "answer", session, rank, answer: last } as const];
	});
}

function channelOf(state: RunState, address: CollectiveChannel, member: MemberState): Channel {
	const { nodeRank, localWorldSize } = member.join;
	const key = keyOf(address, nodeRank);
	let channel = state.channels.get(key);
	if (channel === undefined) {
		const isNode = address.scope === Scope.NODE;
		const whose = address.caller === Caller.USER ? "user's code" : "runtime";
		channel = {
			key,
			address,
			nodeRank,
			name: isNode ? `${whose} on node ${nodeRank}` : whose,
			size: isNode ? localWorldSize : state.worldSize,
			answered: state.isReturning ? undefined : 0,
			open: new Map(),
			deciding: false,
			last: undefined,
		};
		state.channels.set(key, channel);
	}
	return channel;
}

function openOperation(channel: Channel, number: number, now: number): OpenOperation {
	let operation = channel.open.get(number);
	if (operation === undefined) {
		operation = { number, since: now, contributions: new Map(), waiting: new Set(), answered: undefined };
		channel.open.set(number, operation);
	}
	return operation;
}

function keyOf(address: CollectiveChannel, nodeRank: number): string {
	return `${address.caller}:${address.scope === Scope.NODE ? nodeRank : "world"}`;
}

/** Tells which operation it is. */
export function kindOf({ contributions }: OpenOperation): Operation {
	return contributions.values().next().value?.operation ?? Operation.UNSPECIFIED;
}

function nameOf(contribution: Contribution | undefined): string {
	return Operation[contribution?.operation ?? 0]?.toLowerCase() ?? "an unknown operation";
}
