import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { isMillraceError, MillraceError, messageOf } from "../errors.js";
import { type JoinRequest, PeerSchema } from "../gen/millrace/v1/rendezvous_pb.js";
import type { AttendResponseSchema } from "../gen/millrace/v1/rendezvous_service_pb.js";
import { MemberSchema, TrialRunState } from "../gen/millrace/v1/trial_pb.js";
import type { ErrorLog } from "../rpc/status.js";
import { type RunActivity, runActivity } from "./activity.js";
import { answerMessages } from "./answer-messages.js";
import type { RunLedger } from "./run-ledger.js";
import type { LostMember, MemberProgress, RunEffect, RunEvent, RunState } from "./state.js";
import { transition } from "./transition.js";
import { untilRecorded } from "./until-recorded.js";

/** What is sent to a worker. */
export type Outgoing = MessageInitShape<typeof AttendResponseSchema>;

/** One stream, which is one member or one that wants to be. */
export interface Session {
	readonly id: number;
	readonly join: JoinRequest;
	/** Where it is a member, or waits to be. */
	run: OpenRun | undefined;
	isMember: boolean;
	isGone: boolean;
	send(message: Outgoing): void;
	/** Ends the stream, with an error if there is one. */
	end(error?: unknown): void;
}

/** What a run needs of the service. */
export interface RunSurroundings {
	readonly ledger: RunLedger;
	readonly log: ErrorLog;
	/** Aborted when the server stops. */
	readonly stopping: AbortSignal;
	/** Tells the time in milliseconds. */
	now(): number;
	/** Takes a run out of the list: it has ended, and nobody is left. */
	forget(run: OpenRun): void;
	/** Brings a worker that came too late for this run to the next one. */
	enterNext(session: Session): void;
}

/** A run with its streams: does what the state machine says. */
export class OpenRun {
	readonly trialId: number;
	readonly trialRunId: number;
	readonly sessions = new Map<number, Session>();
	/** Settles when the ledger knows of the run's failure. */
	closing: Promise<void> | undefined;
	readonly #state: RunState;
	readonly #around: RunSurroundings;
	#started: Outgoing | undefined;
	/** The last write of each member that is not yet recorded. */
	readonly #pending = new Map<string, Promise<void>>();

	/** Whether anybody is a member. */
	get hasMembers(): boolean {
		return this.#state.members.size > 0;
	}

	/** What its members are at; undefined once it has ended. */
	get activity(): RunActivity | undefined {
		return this.#state.phase === "ended" ? undefined : runActivity(this.#state, this.#around.now());
	}

	/** Whether a worker is a member, of a run that has not ended. */
	hasMember({ rank, memberUuid }: JoinRequest): boolean {
		return this.#state.phase !== "ended" && this.#state.members.get(rank)?.join.memberUuid === memberUuid;
	}

	constructor(id: { trialId: number; trialRunId: number }, state: RunState, around: RunSurroundings) {
		this.trialId = id.trialId;
		this.trialRunId = id.trialRunId;
		this.#state = state;
		this.#around = around;
	}

	/** Lets something happen to the run. */
	dispatch(event: RunEvent): void {
		for (const effect of transition(this.#state, event, this.#around.now())) {
			this.#perform(effect);
		}
		if (event.kind === "leave" && this.#state.phase === "forming") {
			this.sessions.get(event.session)?.end();
		}
		if (this.#state.phase !== "ended") {
			return;
		}
		for (const session of this.sessions.values()) {
			// Whoever waited for another process to go is for the next run.
			if (!session.isMember) {
				this.sessions.delete(session.id);
				void this.#enterNext(session);
			}
		}
		this.#forget();
	}

	/** Tells the members that the run was closed, and ends their streams. */
	tellClosed(state: TrialRunState, reason: string): void {
		const { trialRunId } = this;
		this.dispatch({ kind: "close" });
		for (const session of this.sessions.values()) {
			session.send({ message: { case: "ended", value: { state, reason, trialRunId } } });
		}
		this.endSessions();
	}

	/** Ends all streams, with an error if there is one. */
	endSessions(error?: MillraceError): void {
		for (const session of this.sessions.values()) {
			session.end(error);
		}
		this.sessions.clear();
		this.#forget();
	}

	#forget(): void {
		if (this.sessions.size === 0 && this.closing === undefined) {
			this.#around.forget(this);
		}
	}

	async #enterNext(session: Session): Promise<void> {
		await this.closing;
		this.#around.enterNext(session);
	}

	#perform(effect: RunEffect): void {
		const { trialId, trialRunId } = this;
		const { ledger } = this.#around;
		switch (effect.kind) {
			case "admit":
				this.#recordInOrder(
					effect.join,
					() => ledger.addMember(effect.join, trialRunId),
					() => this.#welcome(effect.session),
				);
				this.#markMember(effect.session);
				break;
			case "welcome-back":
				this.#markMember(effect.session);
				this.#welcome(effect.session);
				break;
			case "replace":
				this.sessions.get(effect.session)?.end(new MillraceError("unavailable", "the worker has to connect again"));
				break;
			case "refuse":
				this.sessions.get(effect.session)?.end(new MillraceError("already_exists", effect.reason));
				break;
			case "record-start":
				// Nobody starts before every member is recorded: its writes would be refused.
				void Promise.all(this.#pending.values()).then(() =>
					this.#record(
						() => ledger.startRun(trialId, trialRunId),
						() => this.dispatch({ kind: "recorded" }),
					),
				);
				break;
			case "started":
				this.#started ??= startedMessage(trialRunId, this.#state);
				this.#send(effect.session, this.#started);
				break;
			case "answer":
				for (const value of answerMessages(effect.rank, effect.answer)) {
					this.#send(effect.session, { message: { case: "answer", value } });
				}
				break;
			case "decide-step":
				void this.#record(
					() => ledger.decideStep(trialId, trialRunId, effect.done),
					({ preempted }) => this.dispatch({ kind: "decided", channel: effect.channel, preempted }),
				);
				break;
			case "finish":
				void this.#record(
					() => ledger.finishRun(trialId, trialRunId, effect.results),
					() => this.dispatch({ kind: "decided", channel: effect.channel, preempted: false }),
				);
				break;
			case "remove-member":
				this.#recordInOrder(
					effect.join,
					() => ledger.removeMember(this.#memberOf(effect.join)),
					() => {},
				);
				break;
			case "fail":
				this.closing = this.#fail(effect);
		}
	}

	#send(session: number, message: Outgoing): void {
		this.sessions.get(session)?.send(message);
	}

	#markMember(id: number): void {
		const session = this.sessions.get(id);
		if (session !== undefined) {
			session.isMember = true;
		}
	}

	#welcome(session: number): void {
		const { trialRunId } = this;
		const { leaseMs, isReturning } = this.#state;
		this.#send(session, { message: { case: "joined", value: { trialRunId, leaseMs, recollect: isReturning } } });
	}

	/** As `#record`, after what was to be written of the same member before: a removal never overtakes its admission. */
	#recordInOrder({ memberUuid }: JoinRequest, write: () => Promise<void>, then: () => void): void {
		const before = this.#pending.get(memberUuid);
		const pending = before === undefined ? this.#record(write, then) : before.then(() => this.#record(write, then));
		this.#pending.set(memberUuid, pending);
		void pending.then(() => {
			if (this.#pending.get(memberUuid) === pending) {
				this.#pending.delete(memberUuid);
			}
		});
	}

	/** Goes on once the ledger has it; a ledger that fails for good ends the run. */
	async #record<T>(write: () => Promise<T>, then: (result: T) => void): Promise<void> {
		try {
			then(await this.#untilRecorded(write));
		} catch (error) {
			if (this.#around.stopping.aborted) {
				// The run goes on with the next server.
				return;
			}
			if (!isMillraceError(error)) {
				this.#around.log(`trial ${this.trialId}, run ${this.trialRunId}`, error);
			}
			this.closing = this.#fail({ reason: messageOf(error) });
			this.dispatch({ kind: "close" });
		}
	}

	#untilRecorded<T>(write: () => Promise<T>): Promise<T> {
		return untilRecorded(write, this.#around.stopping, (error) =>
			this.#around.log(`trial ${this.trialId}, run ${this.trialRunId} waits for the database`, error),
		);
	}

	async #fail(failure: { reason: string; lost?: LostMember; timeout?: true }): Promise<void> {
		const { trialId, trialRunId } = this;
		const { ledger, log, stopping } = this.#around;
		try {
			const reason = failure.reason + (await this.#progressOf(failure.lost));
			const closed = await this.#untilRecorded(() =>
				ledger.closeRun(trialId, trialRunId, TrialRunState.FAILED, reason),
			);
			if (failure.timeout) {
				this.endSessions(new MillraceError("deadline_exceeded", closed.reason));
			} else {
				this.tellClosed(closed.state, closed.reason);
			}
		} catch (error) {
			if (!stopping.aborted) {
				log(`closing trial ${trialId}, run ${trialRunId}`, error);
			}
			this.endSessions(new MillraceError("unavailable", "the server could not record the end of the run"));
		} finally {
			this.closing = undefined;
			this.#forget();
		}
	}

	async #progressOf(lost: LostMember | undefined): Promise<string> {
		if (lost === undefined) {
			return "";
		}
		const last = await this.#around.ledger.lastProgress(this.#memberOf(lost.join));
		// What it last told may be older than its last commit, which has those records.
		const isOlder = lost.progress !== undefined && lost.progress.step < last.step;
		return `; ${last.text}${isOlder ? "" : inFlightText(lost.progress)}`;
	}

	#memberOf({ rank, memberUuid }: JoinRequest) {
		const { trialId, trialRunId } = this;
		return create(MemberSchema, { trialId, trialRunId, rank, memberUuid });
	}
}

function inFlightText(progress: MemberProgress | undefined): string {
	if (progress?.inFlight === undefined) {
		return "";
	}
	const { first, end } = progress.inFlight;
	return `; records ${first} to ${end - 1n} were in flight when it was last heard of`;
}

/** The same for all, however many they are. */
function startedMessage(trialRunId: number, state: RunState): Outgoing {
	const peers = [...state.members.values()]
		.map(({ join: { rank, localRank, nodeRank, host } }) => create(PeerSchema, { rank, localRank, nodeRank, host }))
		.sort((a, b) => a.rank - b.rank);
	return Object.freeze<Outgoing>({ message: { case: "started", value: { trialRunId, peers } } });
}
