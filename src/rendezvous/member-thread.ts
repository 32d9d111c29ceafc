import { writeSync } from "node:fs";
import { parentPort } from "node:worker_threads";
import { type ErrorCode, isMillraceError, messageOf } from "../errors.js";
import type { Peer } from "../gen/millrace/v1/rendezvous_pb.js";
import type { RunEnded } from "../gen/millrace/v1/rendezvous_service_pb.js";
import { watchParentPipe } from "../parent-pipe.js";
import { Channel, type ChannelSecurity } from "../rpc/channel.js";
import { createAwakeClock } from "./awake-clock.js";
import type { Given, JoinInit, Taken } from "./client.js";
import { StepMemory, type StepSeen } from "./step-memory.js";
import { StreamMember } from "./stream-member.js";

/** What the thread of a member needs to join. */
export interface MemberThreadData {
	readonly address: string;
	readonly connectMs: number;
	readonly retryMs: number;
	readonly security: ChannelSecurity;
	readonly join: JoinInit;
	/** How long loading one batch, or processing it, may take before the process is ended; undefined for ever. */
	readonly stepTimeoutMs: number | undefined;
	/** How long the main thread may take to leave or close once the run is over. */
	readonly reactMs: number;
	/** The buffer of a StepMemory. */
	readonly steps: SharedArrayBuffer;
}

/** What the thread is asked: first to attend, or to close. */
export type MemberThreadRequest =
	| { readonly kind: "attend"; readonly data: MemberThreadData }
	| { readonly kind: "collective"; readonly id: number; readonly given: Given }
	| { readonly kind: "leave"; readonly reason: string }
	| { readonly kind: "close" };

/** An error on its way between threads. */
export interface ThreadError {
	readonly code: ErrorCode;
	readonly message: string;
}

/** What the thread says. */
export type MemberThreadEvent =
	| { readonly kind: "joined"; readonly trialRunId: number }
	| { readonly kind: "started"; readonly trialRunId: number; readonly peers: readonly Peer[] }
	| { readonly kind: "ended"; readonly trialRunId: number; readonly ended: RunEnded }
	| { readonly kind: "refused"; readonly error: ThreadError }
	| { readonly kind: "taken"; readonly id: number; readonly taken: Taken }
	| { readonly kind: "failed"; readonly id: number; readonly error: ThreadError }
	| { readonly kind: "lost"; readonly error: ThreadError }
	| { readonly kind: "left" };

/** How often the thread looks what the main thread does, in milliseconds. */
const watchMs = 100;
/** How long the main thread has to end the process by itself once the parent is gone. */
const orphanMs = 1_000;

if (parentPort === null) throw new Error("member-thread is the entry of a worker thread");
const port = parentPort;

function say(event: MemberThreadEvent): void {
	port.postMessage(event);
}

function toThreadError(error: unknown): ThreadError {
	return { code: isMillraceError(error) ? error.code : "internal", message: messageOf(error) };
}

let channel: Channel | undefined;
let member: StreamMember | undefined;
/** Whether the main thread has asked to leave. */
let isLeaving = false;

function attend({ address, join, stepTimeoutMs, reactMs, steps, ...settings }: MemberThreadData): void {
	channel = new Channel(address, settings);
	const joining = new StreamMember(channel, join);
	member = joining;
	joining.signal.addEventListener("abort", () => say({ kind: "lost", error: toThreadError(joining.signal.reason) }));
	joining.started.then(
		(ended) => {
			const { trialRunId, peers } = joining;
			say(ended === undefined ? { kind: "started", trialRunId, peers } : { kind: "ended", trialRunId, ended });
		},
		(error) => say({ kind: "refused", error: toThreadError(error) }),
	);
	const end = async (reason: string) => {
		// The main thread, which console.error would need, is stuck.
		writeSync(2, `millrace: rank ${join.rank}: ${reason}\n`);
		await joining.leave(reason);
		process.kill(process.pid, "SIGKILL");
	};
	watchMain(joining, new StepMemory(steps), { stepTimeoutMs, reactMs, end });
}

/** Within which time the main thread has to do something, and what ends this process if it does not. */
interface Limits {
	/** For loading one batch, and for processing it. */
	readonly stepTimeoutMs: number | undefined;
	/** For the end of the run. */
	readonly reactMs: number;
	/** Called once, with the reason. */
	end(reason: string): void;
}

/** Tells the member what the main thread is at, and ends the process if it is stuck there. */
function watchMain(
	member: StreamMember,
	memory: StepMemory,
	{ stepTimeoutMs = Number.POSITIVE_INFINITY, reactMs, end }: Limits,
): void {
	const now = createAwakeClock();
	let turn = 0;
	let step: StepSeen | undefined;
	let since = 0;
	let overSince: number | undefined;
	let hasJoined = false;
	const timer = setInterval(() => {
		if (!hasJoined && member.trialRunId > 0) {
			hasJoined = true;
			say({ kind: "joined", trialRunId: member.trialRunId });
		}
		const time = now();
		// Between two looks there may have been batches that none of them saw.
		if (memory.turn !== turn) {
			turn = memory.turn;
			step = memory.read();
			since = time;
			if (step === undefined) {
				member.endStep(memory.completed);
			} else {
				member.beginStep(step);
			}
		} else if (step !== undefined && time - since > stepTimeoutMs) {
			clearInterval(timer);
			end(
				`${step.isLoading ? "loading" : "processBatch of"} step ${step.step}, records ${step.first} to ${step.end - 1}, took longer than ` +
					`stepTimeout ${stepTimeoutMs / 1000} s`,
			);
		}
		if (!member.signal.aborted || isLeaving) {
			return;
		}
		overSince ??= time;
		if (time - overSince > reactMs) {
			clearInterval(timer);
			end(
				`${member.signal.reason.message}, but the code of this worker has not noticed for ${reactMs / 1000} s; killed`,
			);
		}
	}, watchMs);
}

port.on("message", (request: MemberThreadRequest) => {
	switch (request.kind) {
		case "attend":
			attend(request.data);
			break;
		case "collective": {
			const { id } = request;
			member?.collective(request.given).then(
				(taken) => say({ kind: "taken", id, taken }),
				(error) => say({ kind: "failed", id, error: toThreadError(error) }),
			);
			break;
		}
		case "leave":
			isLeaving = true;
			void member?.leave(request.reason).then(() => say({ kind: "left" }));
			break;
		case "close":
			member?.close();
			channel?.close();
			// Of the thread.
			process.exit();
	}
});
watchParentPipe(() => setTimeout(() => process.kill(process.pid, "SIGKILL"), orphanMs));
