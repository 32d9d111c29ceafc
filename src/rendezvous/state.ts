import {
	CollectiveCaller as Caller,
	type CollectiveChannel,
	type Contribution,
	type JoinRequest,
	CollectiveOperation as Operation,
	type ReducedMetrics,
	CollectiveScope as Scope,
} from "../gen/millrace/v1/rendezvous_pb.js";
import { absentRanks, nodeConflict } from "./membership.js";

/** How long a member whose connection broke has to come back. */
export const reconnectGraceMs = 1_000;
/** How long a second process for one rank waits for the first to go. */
export const rankWaitMs = 16_000;
/** How long the members of a run have to come back to a server that has just started. */
export const returnMs = 15_000;
const defaultJoinTimeoutMs = 300_000;

/** Who is in one trial run, and what they wait for. Changed only by `transition`. */
export interface RunState {
	readonly worldSize: number;
	/** `starting`: all are there, which is being recorded. `ended`: nothing more happens. */
	phase: "forming" | "starting" | "running" | "ended";
	/** When a forming run fails. */
	joinDeadline: number | undefined;
	/** Whether the run had started before this server did, and its members are to come back. */
	readonly isReturning: boolean;
	readonly members: Map<number, MemberState>;
	readonly waiting: WaitingJoin[];
	readonly channels: Map<string, ChannelState>;
}

/** One member. `session` names its stream; it is undefined while the connection is broken. */
export interface MemberState {
	readonly join: JoinRequest;
	session: number | undefined;
	goneAt: number | undefined;
}

interface WaitingJoin {
	readonly join: JoinRequest;
	readonly session: number;
	readonly until: number;
}

interface ChannelState {
	readonly name: string;
	/** The number of the last operation that was answered. */
	answered: number;
	readonly pending: Map<number, Contribution>;
	/** Whether all have contributed, and the server is deciding on the answer. */
	deciding: boolean;
	last: Answer | undefined;
}

/** The answer to one operation of a channel. */
export interface Answer {
	readonly channel: CollectiveChannel;
	readonly number: number;
	readonly operation: Operation;
	readonly contributions: ReadonlyMap<number, Contribution>;
	readonly preempted: boolean;
}

/** What happens to a run. */
export type RunEvent =
	| { readonly kind: "join"; readonly join: JoinRequest; readonly session: number; readonly isMember: boolean }
	| { readonly kind: "recorded" }
	| {
			readonly kind: "contribute";
			readonly rank: number;
			readonly session: number;
			readonly contribution: Contribution;
	  }
	| { readonly kind: "decided"; readonly channel: CollectiveChannel; readonly preempted: boolean }
	| { readonly kind: "disconnect"; readonly session: number }
	| { readonly kind: "leave"; readonly session: number; readonly reason: string }
	| { readonly kind: "tick" }
	| { readonly kind: "close" };

/** What has to be done about it. */
export type RunEffect =
	| { readonly kind: "admit"; readonly session: number; readonly join: JoinRequest }
	| { readonly kind: "welcome-back"; readonly session: number }
	| {
			readonly kind: "refuse";
			readonly session: number;
			readonly reason: string;
	  }
	| { readonly kind: "record-start" }
	| { readonly kind: "started"; readonly session: number }
	| { readonly kind: "answer"; readonly session: number; readonly rank: number; readonly answer: Answer }
	| { readonly kind: "decide-step"; readonly channel: CollectiveChannel; readonly done: boolean }
	| { readonly kind: "finish"; readonly channel: CollectiveChannel; readonly results: readonly ReducedMetrics[] }
	| { readonly kind: "remove-member"; readonly join: JoinRequest }
	| { readonly kind: "fail"; readonly reason: string; readonly lost?: JoinRequest; readonly timeout?: true };

/** A run that nobody has joined yet, or nobody has come back to: then `returningSince` is the time. */
export function createRunState(worldSize: number, returningSince?: number): RunState {
	const isReturning = returningSince !== undefined;
	const joinDeadline = isReturning ? returningSince + returnMs : undefined;
	return {
		worldSize,
		phase: "forming",
		joinDeadline,
		isReturning,
		members: new Map(),
		waiting: [],
		channels: new Map(),
	};
}

/** Applies an event to the state, and returns what has to be done. Asks no clock, and does nothing itself. */
export function transition(state: RunState, event: RunEvent, now: number): RunEffect[] {
	if (state.phase === "ended") {
		return [];
	}
	switch (event.kind) {
		case "join":
			return join(state, event, now);
		case "recorded":
			state.phase = "running";
			return connected(state).map(({ session }) => ({ kind: "started", session }));
		case "contribute":
			return contribute(state, event.rank, event.session, event.contribution);
		case "decided":
			return decided(state, event.channel, event.preempted);
		case "disconnect":
			return disconnect(state, event.session, now);
		case "leave":
			return leave(state, event.session, event.reason, now);
		case "tick":
			return tick(state, now);
		case "close":
			state.phase = "ended";
			return [];
	}
}

/** When the next `tick` is due; undefined while only others' events can change something. */
export function nextDeadline(state: RunState): number | undefined {
	const times = [...state.members.values()].map((member) => member.goneAt);
	times.push(...state.waiting.map((waiting) => waiting.until));
	times.push(state.phase === "forming" ? state.joinDeadline : undefined);
	const due = times.filter((time) => time !== undefined);
	return state.phase === "ended" || due.length === 0 ? undefined : Math.min(...due);
}

function join(
	state: RunState,
	{ join: request, session, isMember }: Extract<RunEvent, { kind: "join" }>,
	now: number,
): RunEffect[] {
	const present = state.members.get(request.rank);
	const isClosedToOthers = state.isReturning || state.phase !== "forming";
	if (present === undefined && !(isClosedToOthers && !isMember)) {
		return admit(state, request, session, now);
	}
	if (present?.join.memberUuid !== request.memberUuid) {
		state.waiting.push({ join: request, session, until: now + rankWaitMs });
		return [];
	}
	present.session = session;
	present.goneAt = undefined;
	const effects: RunEffect[] = [{ kind: "welcome-back", session }];
	if (state.phase === "running") {
		effects.push({ kind: "started", session });
	}
	return effects;
}

function admit(state: RunState, request: JoinRequest, session: number, now: number): RunEffect[] {
	state.members.set(request.rank, { join: request, session, goneAt: undefined });
	state.joinDeadline ??= now + (request.joinTimeoutMs || defaultJoinTimeoutMs);
	const effects: RunEffect[] = [{ kind: "admit", session, join: request }];
	if (state.members.size === state.worldSize) {
		const conflict = nodeConflict([...state.members.values()].map((member) => member.join));
		if (conflict !== undefined) {
			return [...effects, ...fail(state, conflict)];
		}
		state.phase = "starting";
		effects.push({ kind: "record-start" });
	}
	return effects;
}

function contribute(state: RunState, rank: number, session: number, contribution: Contribution): RunEffect[] {
	const member = state.members.get(rank);
	if (member?.session !== session || contribution.channel === undefined) {
		return [];
	}
	const channel = channelOf(state, contribution.channel, member);
	if (contribution.number === channel.answered && channel.last?.contributions.has(rank)) {
		return [{ kind: "answer", session, rank, answer: channel.last }];
	}
	if (channel.answered === 0 && channel.pending.size === 0) {
		// A server that has just started knows no earlier operation of the channel.
		channel.answered = contribution.number - 1;
	}
	if (contribution.number !== channel.answered + 1) {
		return fail(
			state,
			`rank ${rank} is at operation ${contribution.number} of the ${channel.name}, the others at ${channel.answered + 1}`,
		);
	}
	const other = [...channel.pending].find(([, given]) => given.operation !== contribution.operation);
	if (other !== undefined) {
		const [otherRank, given] = other;
		return fail(
			state,
			`operation ${contribution.number} of the ${channel.name} is ${nameOf(given)} on rank ${otherRank}` +
				` but ${nameOf(contribution)} on rank ${rank}; all ranks must call the same operations in the same order`,
		);
	}
	channel.pending.set(rank, contribution);
	if (channel.deciding || channel.pending.size < sizeOf(state, contribution.channel, member)) {
		return channel.deciding ? [] : stuck(state);
	}
	return complete(state, channel, contribution.channel, contribution.operation);
}

function complete(
	state: RunState,
	channel: ChannelState,
	address: CollectiveChannel,
	operation: Operation,
): RunEffect[] {
	const given = [...channel.pending].sort(([a], [b]) => a - b).map(([, contribution]) => contribution);
	if (operation === Operation.STEP) {
		channel.deciding = true;
		return [{ kind: "decide-step", channel: address, done: given.every(({ done }) => done) }];
	}
	if (operation === Operation.FINISH) {
		channel.deciding = true;
		return [{ kind: "finish", channel: address, results: given[0]?.results ?? [] }];
	}
	return answer(state, channel, address, operation, false);
}

function decided(state: RunState, address: CollectiveChannel, preempted: boolean): RunEffect[] {
	const channel = state.channels.get(keyOf(address, 0));
	const operation = channel?.pending.values().next().value?.operation;
	if (channel === undefined || operation === undefined) {
		return [];
	}
	const effects = answer(state, channel, address, operation, preempted);
	if (preempted || operation === Operation.FINISH) {
		state.phase = "ended";
	}
	return effects;
}

function answer(
	state: RunState,
	channel: ChannelState,
	address: CollectiveChannel,
	operation: Operation,
	preempted: boolean,
): RunEffect[] {
	channel.answered += 1;
	channel.deciding = false;
	const contributions = new Map([...channel.pending].sort(([a], [b]) => a - b));
	channel.pending.clear();
	channel.last = { channel: address, number: channel.answered, operation, contributions, preempted };
	const { last } = channel;
	return connected(state)
		.filter(({ rank }) => contributions.has(rank))
		.map(({ rank, session }) => ({ kind: "answer", session, rank, answer: last }));
}

function disconnect(state: RunState, session: number, now: number): RunEffect[] {
	const waiting = state.waiting.findIndex((candidate) => candidate.session === session);
	if (waiting >= 0) {
		state.waiting.splice(waiting, 1);
		return [];
	}
	const member = memberOf(state, session);
	if (member !== undefined) {
		member.session = undefined;
		member.goneAt = now + reconnectGraceMs;
	}
	return [];
}

function leave(state: RunState, session: number, reason: string, now: number): RunEffect[] {
	const member = memberOf(state, session);
	if (member === undefined) {
		return [];
	}
	const { rank, host } = member.join;
	if (state.phase === "forming") {
		return [{ kind: "remove-member", join: member.join }, ...free(state, rank, now)];
	}
	return [{ kind: "remove-member", join: member.join }, ...fail(state, `rank ${rank} on ${host} failed: ${reason}`)];
}

function tick(state: RunState, now: number): RunEffect[] {
	const effects: RunEffect[] = [];
	for (const [rank, member] of state.members) {
		if (member.goneAt === undefined || member.goneAt > now) {
			continue;
		}
		effects.push({ kind: "remove-member", join: member.join });
		if (state.phase !== "forming") {
			return [...effects, ...fail(state, `rank ${rank} on ${member.join.host} is lost`, member.join)];
		}
		effects.push(...free(state, rank, now));
	}
	for (const waiting of state.waiting.filter(({ until }) => until <= now)) {
		state.waiting.splice(state.waiting.indexOf(waiting), 1);
		effects.push({ kind: "refuse", session: waiting.session, reason: whyRefused(state, waiting.join) });
	}
	if (state.phase === "forming" && state.joinDeadline !== undefined && state.joinDeadline <= now) {
		state.phase = "ended";
		const workers = `of ${state.worldSize} workers, rank ${absentRanks(state.members, state.worldSize)}`;
		effects.push(
			state.isReturning
				? { kind: "fail", reason: `${workers} did not come back to the server that was started again` }
				: { kind: "fail", reason: `${workers} did not join in time`, timeout: true },
		);
	}
	return effects;
}

function whyRefused(state: RunState, { rank }: JoinRequest): string {
	const holder = state.members.get(rank)?.join;
	return holder === undefined
		? `the run has ${state.worldSize} workers, which are all there`
		: `rank ${rank} is taken by process ${holder.pid} on ${holder.host}`;
}

/** Frees a rank of a forming run. */
function free(state: RunState, rank: number, now: number): RunEffect[] {
	state.members.delete(rank);
	if (state.members.size === 0 && !state.isReturning) {
		// Whoever comes next waits as long as the first did.
		state.joinDeadline = undefined;
	}
	return state.isReturning ? [] : admitWaiting(state, rank, now);
}

function admitWaiting(state: RunState, rank: number, now: number): RunEffect[] {
	const next = state.waiting.findIndex((candidate) => candidate.join.rank === rank);
	const [waiting] = next < 0 ? [] : state.waiting.splice(next, 1);
	return waiting === undefined ? [] : admit(state, waiting.join, waiting.session, now);
}

/** If every member waits in an operation, and none of these can complete, nobody would ever go on. */
function stuck(state: RunState): RunEffect[] {
	const waits = new Map<number, string>();
	for (const channel of state.channels.values()) {
		if (channel.deciding) {
			return [];
		}
		for (const [rank, contribution] of channel.pending) {
			waits.set(rank, `rank ${rank} in ${nameOf(contribution)} of the ${channel.name}`);
		}
	}
	if (waits.size < state.worldSize) {
		return [];
	}
	const list = [...waits].sort(([a], [b]) => a - b).map(([, wait]) => wait);
	return fail(state, `all workers wait for each other: ${list.join(", ")}`);
}

function fail(state: RunState, reason: string, lost?: JoinRequest): RunEffect[] {
	state.phase = "ended";
	return [{ kind: "fail", reason, ...(lost === undefined ? {} : { lost }) }];
}

function connected(state: RunState): { rank: number; session: number }[] {
	return [...state.members].flatMap(([rank, { session }]) => (session === undefined ? [] : [{ rank, session }]));
}

function memberOf(state: RunState, session: number): MemberState | undefined {
	return [...state.members.values()].find((member) => member.session === session);
}

function channelOf(state: RunState, address: CollectiveChannel, member: MemberState): ChannelState {
	const key = keyOf(address, member.join.nodeRank);
	let channel = state.channels.get(key);
	if (channel === undefined) {
		const whose = address.caller === Caller.USER ? "user's code" : "runtime";
		const where = address.scope === Scope.NODE ? ` on node ${member.join.nodeRank}` : "";
		channel = { name: `${whose}${where}`, answered: 0, pending: new Map(), deciding: false, last: undefined };
		state.channels.set(key, channel);
	}
	return channel;
}

function keyOf(address: CollectiveChannel, nodeRank: number): string {
	return `${address.caller}:${address.scope === Scope.NODE ? nodeRank : "world"}`;
}

function sizeOf(state: RunState, address: CollectiveChannel, member: MemberState): number {
	return address.scope === Scope.NODE ? member.join.localWorldSize : state.worldSize;
}

function nameOf(contribution: Contribution): string {
	return Operation[contribution.operation]?.toLowerCase() ?? "an unknown operation";
}
