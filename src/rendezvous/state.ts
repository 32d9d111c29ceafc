import type {
	CollectiveChannel,
	Contribution,
	JoinRequest,
	CollectiveOperation as Operation,
	ReducedMetrics,
} from "../gen/millrace/v1/rendezvous_pb.js";
import type { Channel } from "./collectives.js";
import type { MemberState, WaitingJoin } from "./presence.js";

/** How long the server keeps a silent member, in milliseconds, unless it is told otherwise. */
export const defaultLeaseMs = 15_000;

/** Who is in one trial run, and what they wait for. Changed only by `transition`. */
export interface RunState {
	readonly worldSize: number;
	/** How long a silent member is kept, and how long members may take to come back to a server that has just started. */
	readonly leaseMs: number;
	/** `starting`: all are there, which is being recorded. `ended`: nothing more happens. */
	phase: "forming" | "starting" | "running" | "ended";
	/** When a forming run fails. */
	joinDeadline: number | undefined;
	/** Whether the run had started before this server did, and its members are to come back. */
	readonly isReturning: boolean;
	readonly members: Map<number, MemberState>;
	readonly waiting: WaitingJoin[];
	readonly channels: Map<string, Channel>;
	/** When to look whether all wait for each other. */
	stuckCheckAt: number | undefined;
}

/** How far a member is, as far as it has told. `inFlight` are the records that it is loading or processing. */
export interface MemberProgress {
	readonly step: number;
	readonly inFlight?: { readonly first: bigint; readonly end: bigint } | undefined;
	/** Whether they are still being loaded. Default false. */
	readonly isLoading?: boolean | undefined;
}

/** A sign of life that says how far a member is, and for how long it has been there. */
export interface Alive {
	readonly kind: "alive";
	readonly rank: number;
	readonly session: number;
	readonly progress: MemberProgress;
	/** In milliseconds. Default 0, which older workers send. */
	readonly unchangedMs?: number | undefined;
}

/** A member that was lost, and what it last told. */
export interface LostMember {
	readonly join: JoinRequest;
	readonly progress: MemberProgress | undefined;
}

/** The answer to one operation of a channel. */
export interface Answer {
	readonly channel: CollectiveChannel;
	readonly number: number;
	readonly operation: Operation;
	/** In rank order. */
	readonly contributions: ReadonlyMap<number, Contribution>;
	readonly preempted: boolean;
}

/** A member's contribution to a collective operation. */
export interface Contributed {
	readonly kind: "contribute";
	readonly rank: number;
	readonly session: number;
	readonly contribution: Contribution;
	/** What it remembers of the answer, where it tells a server that was started again of an earlier operation. */
	readonly answered?: { readonly preempted: boolean } | undefined;
}

/** What happens to a run. `session` names a stream. */
export type RunEvent =
	| { readonly kind: "join"; readonly join: JoinRequest; readonly session: number; readonly isMember: boolean }
	| { readonly kind: "recorded" }
	| Alive
	| Contributed
	| { readonly kind: "decided"; readonly channel: string; readonly preempted: boolean }
	| { readonly kind: "disconnect"; readonly rank: number; readonly session: number }
	| { readonly kind: "leave"; readonly rank: number; readonly session: number; readonly reason: string }
	| { readonly kind: "tick" }
	| { readonly kind: "close" };

/** What has to be done about it. */
export type RunEffect =
	| { readonly kind: "admit"; readonly session: number; readonly join: JoinRequest }
	| { readonly kind: "welcome-back"; readonly session: number }
	/** The worker has a newer stream than this one. */
	| { readonly kind: "replace"; readonly session: number }
	| { readonly kind: "refuse"; readonly session: number; readonly reason: string }
	| { readonly kind: "record-start" }
	| { readonly kind: "started"; readonly session: number }
	| { readonly kind: "answer"; readonly session: number; readonly rank: number; readonly answer: Answer }
	| { readonly kind: "decide-step"; readonly channel: string; readonly done: boolean }
	| { readonly kind: "finish"; readonly channel: string; readonly results: readonly ReducedMetrics[] }
	| { readonly kind: "remove-member"; readonly join: JoinRequest }
	| { readonly kind: "fail"; readonly reason: string; readonly lost?: LostMember; readonly timeout?: true };

/** A run that nobody has joined yet, or nobody has come back to: then `returningSince` is the time. */
export function createRunState(worldSize: number, leaseMs = defaultLeaseMs, returningSince?: number): RunState {
	const isReturning = returningSince !== undefined;
	return {
		worldSize,
		leaseMs,
		phase: "forming",
		joinDeadline: isReturning ? returningSince + leaseMs : undefined,
		isReturning,
		members: new Map(),
		waiting: [],
		channels: new Map(),
		stuckCheckAt: undefined,
	};
}

/** Ends the run: it has failed for this reason. */
export function failRun(state: RunState, reason: string, lost?: LostMember): RunEffect[] {
	state.phase = "ended";
	return [{ kind: "fail", reason, ...(lost === undefined ? {} : { lost }) }];
}

/** Returns the member of a rank, if this stream is its own. */
export function memberWith(state: RunState, rank: number, session: number): MemberState | undefined {
	const member = state.members.get(rank);
	return member?.session === session ? member : undefined;
}
