import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
	CollectiveCaller,
	CollectiveOperation,
	CollectiveScope,
	JoinRequestSchema,
	Peer,
} from "../gen/millrace/v1/rendezvous_pb.js";
import type { RunEnded } from "../gen/millrace/v1/rendezvous_service_pb.js";
import type { Channel } from "../rpc/channel.js";
import { StreamMember } from "./stream-member.js";

/** What a worker says of itself when it joins. */
export type JoinInit = MessageInitShape<typeof JoinRequestSchema>;

/** What a worker gives to a collective operation. */
export interface Given {
	readonly scope: CollectiveScope;
	readonly caller: CollectiveCaller;
	readonly operation: CollectiveOperation;
	readonly payload?: Uint8Array;
	readonly done?: boolean;
	readonly results?: readonly { group: string; metricsJson: string }[];
}

/** What a worker gets from a collective operation: the payloads it is due, in rank order. */
export interface Taken {
	readonly payloads: readonly Uint8Array[];
	readonly preempted: boolean;
}

/** A batch that is waited for, or processed. */
export interface StepBegin {
	/** Whether it is still being loaded. Default false. */
	readonly isLoading?: boolean;
	/** The index of the batch on this worker, which is also the number of steps that it has completed. */
	readonly step: number;
	/** The first record of the batch. */
	readonly first: number;
	/** The record after its last one. */
	readonly end: number;
}

/** How an attempt to join ended. */
export type Attendance =
	| { readonly kind: "member"; readonly member: RendezvousMember }
	| { readonly kind: "ended"; readonly ended: RunEnded };

/** A worker's place in a run, held by an open stream that comes back by itself when the connection breaks. */
export interface RendezvousMember {
	/** Resolves when the run starts, or with the verdict of a trial that needs no run. */
	readonly started: Promise<RunEnded | undefined>;
	/** Aborted when the run ends before this worker's work; its reason is the error that says why. */
	readonly signal: AbortSignal;
	/** The run; 0 until it has joined. */
	readonly trialRunId: number;
	/** All members, in rank order. */
	readonly peers: readonly Peer[];
	/**
	 * Takes part in a collective operation. Operations of one channel go one after the other, and one of the runtime
	 * waits for those of the user's code before it, so that whoever waits in one contributes to no other.
	 *
	 * Throws `aborted` if the run ends before all have contributed: the message names who is missing.
	 */
	collective(given: Given): Promise<Taken>;
	/** Notes that a batch is waited for, or being processed: its records are named if this worker is lost. */
	beginStep(step: StepBegin): void;
	/** Notes that it is so no longer. */
	endStep(): void;
	/**
	 * Leaves the run before its end: it fails for this reason. Resolves when the server knows, or could not be told for
	 * 5 seconds.
	 */
	leave(reason: string): Promise<void>;
	/**
	 * Gives up the place; operations that are open fail with `cancelled`. After FINISH, or a STEP that preempted,
	 * nobody misses it.
	 */
	close(): void;
}

/** How a member is held. */
export interface AttendOptions {
	/** Gets the member while it waits for the others. */
	readonly watch?: (member: RendezvousMember) => void;
	/** How long loading one batch, or processing it, may take, in milliseconds, before this process is ended. Default: for ever. */
	readonly stepTimeoutMs?: number | undefined;
}

/** What holds a member: this thread, or one of its own. */
export interface MemberHolder {
	/** Joins a trial run, as `attend` does. */
	attend(channel: Channel, join: JoinInit, options?: AttendOptions): Promise<Attendance>;
	/** Ends the holder, if it is not to join. */
	close(): void;
}

/** Holds members in the thread that calls: code that blocks it blocks them too, and nothing ends the process. */
export const memberInThisThread: MemberHolder = {
	attend: (channel, join, { watch } = {}) => attend(channel, join, watch),
	close: () => {},
};

/**
 * Joins a trial run, and waits until all its members are there. `watch` gets the member while it waits.
 *
 * Throws what the service's Attend tells: `failed_precondition`, `already_exists`, `deadline_exceeded` and so
 * on; `aborted` if the run ended while it was forming.
 */
export async function attend(
	channel: Channel,
	join: JoinInit,
	watch: (member: RendezvousMember) => void = () => {},
): Promise<Attendance> {
	const member = new StreamMember(channel, join);
	watch(member);
	const ended = await member.started;
	return ended === undefined ? { kind: "member", member } : { kind: "ended", ended };
}
