import type { JoinRequest } from "../gen/millrace/v1/rendezvous_pb.js";
import { absentRanks, nodeConflict } from "./membership.js";
import {
	type Alive,
	failRun,
	type MemberProgress,
	memberWith,
	type RunEffect,
	type RunEvent,
	type RunState,
} from "./state.js";

/** How long a member whose connection was closed has to come back. */
export const reconnectGraceMs = 1_000;
const defaultJoinTimeoutMs = 300_000;

/** One member. */
export interface MemberState {
	readonly join: JoinRequest;
	/** Its stream; undefined while the connection is broken. */
	session: number | undefined;
	/** Which of the process's attempts to connect this is. */
	attempt: number;
	/** When it is gone, unless it is heard of before. */
	goneAt: number;
	/** When it was heard of last. */
	heardAt: number;
	progress: MemberProgress | undefined;
	/** When it told its progress. */
	toldAt: number;
	/** Since when it has been where its progress says. */
	unchangedSince: number;
}

/** A worker that waits for the process which has its rank to go. */
export interface WaitingJoin {
	readonly join: JoinRequest;
	readonly session: number;
	readonly until: number;
}

/** How long a second process for one rank waits for the first to go: by then a frozen one is gone. */
export function rankWaitMs({ leaseMs }: RunState): number {
	return leaseMs + 1_000;
}

/** Lets a worker in, or back in, or lets it wait for its rank. */
export function join(
	state: RunState,
	{ join: request, session, isMember }: Extract<RunEvent, { kind: "join" }>,
	now: number,
): RunEffect[] {
	const present = state.members.get(request.rank);
	if (present === undefined && (isMember || isReplaceable(state))) {
		return admit(state, request, session, now);
	}
	if (present?.join.memberUuid !== request.memberUuid) {
		return wait(state, request, session, now);
	}
	if (request.attempt < present.attempt) {
		return [{ kind: "replace", session }];
	}
	const replaced = present.session;
	present.session = session;
	present.attempt = request.attempt;
	present.goneAt = now + state.leaseMs;
	present.heardAt = now;
	const effects: RunEffect[] = replaced === undefined ? [] : [{ kind: "replace", session: replaced }];
	effects.push({ kind: "welcome-back", session });
	if (state.phase === "running") {
		effects.push({ kind: "started", session });
	}
	return effects;
}

function wait(state: RunState, request: JoinRequest, session: number, now: number): RunEffect[] {
	const earlier = state.waiting.findIndex(({ join }) => join.memberUuid === request.memberUuid);
	const [replaced] = earlier < 0 ? [] : state.waiting.splice(earlier, 1);
	state.waiting.push({ join: request, session, until: replaced?.until ?? now + rankWaitMs(state) });
	return replaced === undefined ? [] : [{ kind: "replace", session: replaced.session }];
}

function admit(state: RunState, request: JoinRequest, session: number, now: number): RunEffect[] {
	const goneAt = now + state.leaseMs;
	const { attempt } = request;
	const seen = { heardAt: now, progress: undefined, toldAt: now, unchangedSince: now };
	state.members.set(request.rank, { join: request, session, attempt, goneAt, ...seen });
	state.joinDeadline ??= now + (request.joinTimeoutMs || defaultJoinTimeoutMs);
	const effects: RunEffect[] = [{ kind: "admit", session, join: request }];
	if (state.members.size === state.worldSize) {
		const conflict = nodeConflict([...state.members.values()].map((member) => member.join));
		if (conflict !== undefined) {
			return [...effects, ...failRun(state, conflict)];
		}
		state.phase = "starting";
		effects.push({ kind: "record-start" });
	}
	return effects;
}

/** Notes a sign of life, which every message is. */
export function hear(state: RunState, { rank, session }: Pick<Alive, "rank" | "session">, now: number): void {
	const member = memberWith(state, rank, session);
	if (member !== undefined) {
		member.goneAt = now + state.leaseMs;
		member.heardAt = now;
	}
}

/** Notes how far a member is, and since when it has been there. */
export function tell(state: RunState, { rank, session, progress, unchangedMs = 0 }: Alive, now: number): void {
	const member = memberWith(state, rank, session);
	if (member !== undefined) {
		const since = now - unchangedMs;
		// A message that was held up on its way must not make it look as if something had happened.
		member.unchangedSince = isSame(member.progress, progress) ? Math.min(member.unchangedSince, since) : since;
		member.progress = progress;
		member.toldAt = now;
	}
}

function isSame(before: MemberProgress | undefined, after: MemberProgress): boolean {
	return (
		before?.step === after.step &&
		before.inFlight?.first === after.inFlight?.first &&
		before.inFlight?.end === after.inFlight?.end &&
		(before.isLoading ?? false) === (after.isLoading ?? false)
	);
}

/** Gives a member whose connection was closed the time to come back. */
export function disconnect(state: RunState, rank: number, session: number, now: number): RunEffect[] {
	const waiting = state.waiting.findIndex((candidate) => candidate.session === session);
	if (waiting >= 0) {
		state.waiting.splice(waiting, 1);
		return [];
	}
	const member = memberWith(state, rank, session);
	if (member !== undefined) {
		member.session = undefined;
		member.goneAt = now + Math.min(reconnectGraceMs, state.leaseMs);
	}
	return [];
}

/** Lets a member go. Unless the run is forming for the first time, that is its end. */
export function leave(state: RunState, rank: number, session: number, reason: string, now: number): RunEffect[] {
	const member = memberWith(state, rank, session);
	if (member === undefined) {
		return [];
	}
	const effects: RunEffect[] = [{ kind: "remove-member", join: member.join }];
	return isReplaceable(state)
		? [...effects, ...free(state, rank, now)]
		: [...effects, ...failRun(state, `rank ${rank} on ${member.join.host} failed: ${reason}`)];
}

/** Finds who is gone, who has waited long enough for a rank, and whether the run has waited long enough for all. */
export function expire(state: RunState, now: number): RunEffect[] {
	const effects: RunEffect[] = [];
	for (const [rank, member] of state.members) {
		if (member.goneAt > now) {
			continue;
		}
		effects.push({ kind: "remove-member", join: member.join });
		if (!isReplaceable(state)) {
			const { join, progress } = member;
			return [...effects, ...failRun(state, lostText(state, member), { join, progress })];
		}
		if (member.session !== undefined) {
			// If it wakes up, it comes again.
			effects.push({ kind: "replace", session: member.session });
		}
		effects.push(...free(state, rank, now));
	}
	for (const waiting of state.waiting.filter(({ until }) => until <= now)) {
		state.waiting.splice(state.waiting.indexOf(waiting), 1);
		effects.push({ kind: "refuse", session: waiting.session, reason: whyRefused(state, waiting.join) });
	}
	if (state.phase === "forming" && state.joinDeadline !== undefined && state.joinDeadline <= now) {
		const workers = `of ${state.worldSize} workers, rank ${absentRanks(state.members, state.worldSize)}`;
		state.phase = "ended";
		effects.push(
			state.isReturning
				? { kind: "fail", reason: `${workers} did not come back to the server that was started again` }
				: { kind: "fail", reason: `${workers} did not join in time`, timeout: true },
		);
	}
	return effects;
}

function lostText({ leaseMs }: RunState, { join: { rank, host }, session }: MemberState): string {
	const lost = `rank ${rank} on ${host} is lost`;
	return session === undefined ? lost : `${lost}: it was silent for ${leaseMs / 1000} s`;
}

function whyRefused(state: RunState, { rank }: JoinRequest): string {
	const holder = state.members.get(rank)?.join;
	return holder === undefined
		? `the run has ${state.worldSize} workers, which are all there`
		: `rank ${rank} is taken by process ${holder.pid} on ${holder.host}`;
}

/** Whether another process may take the place of a member that goes. */
function isReplaceable({ phase, isReturning }: RunState): boolean {
	return phase === "forming" && !isReturning;
}

/** Frees a rank of a forming run. */
function free(state: RunState, rank: number, now: number): RunEffect[] {
	state.members.delete(rank);
	if (state.members.size === 0) {
		// Whoever comes next waits as long as the first did.
		state.joinDeadline = undefined;
	}
	return admitWaiting(state, rank, now);
}

function admitWaiting(state: RunState, rank: number, now: number): RunEffect[] {
	const next = state.waiting.findIndex((candidate) => candidate.join.rank === rank);
	const [waiting] = next < 0 ? [] : state.waiting.splice(next, 1);
	return waiting === undefined ? [] : admit(state, waiting.join, waiting.session, now);
}
