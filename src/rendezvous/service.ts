import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { isMillraceError, MillraceError, messageOf } from "../errors.js";
import { type JoinRequest, PeerSchema } from "../gen/millrace/v1/rendezvous_pb.js";
import type {
	AttendRequest,
	AttendResponseSchema,
	RendezvousService,
} from "../gen/millrace/v1/rendezvous_service_pb.js";
import { MemberSchema, TrialRunState } from "../gen/millrace/v1/trial_pb.js";
import type { DuplexContext, ServiceHandlers } from "../rpc/handler.js";
import type { ErrorLog } from "../rpc/status.js";
import { answerMessages } from "./answer-messages.js";
import { checkedContribution, checkedJoin } from "./attend-checks.js";
import type { OpenedRun, RunLedger } from "./run-ledger.js";
import { createRunState, nextDeadline, type RunEffect, type RunEvent, type RunState, transition } from "./state.js";

type Outgoing = MessageInitShape<typeof AttendResponseSchema>;

/** The rendezvous of all open runs. */
export interface Rendezvous {
	readonly handlers: ServiceHandlers<typeof RendezvousService>;
	/** Tells the members of a run that it was closed by someone else. */
	runClosed(trialId: number, trialRunId: number, state: TrialRunState, reason: string): void;
	/** Ends all streams. The runs stay open: their members come back to the next server. */
	close(): void;
}

/** One stream, which is one member or one that wants to be. */
interface Session {
	readonly id: number;
	readonly join: JoinRequest;
	/** Where it is a member, or waits to be. */
	run: Run | undefined;
	isMember: boolean;
	isGone: boolean;
	send(message: Outgoing): void;
	/** Ends the stream, with an error if there is one. */
	end(error?: unknown): void;
}

interface Run {
	readonly trialId: number;
	readonly trialRunId: number;
	readonly state: RunState;
	readonly sessions: Map<number, Session>;
	/** Settles when the ledger knows of the run's failure. */
	closing: Promise<void> | undefined;
	timer: NodeJS.Timeout | undefined;
}

/** Makes the rendezvous service over a ledger. `now` tells the time in milliseconds, for tests. */
export function createRendezvousService(options: { ledger: RunLedger; log: ErrorLog; now?: () => number }): Rendezvous {
	const { ledger, log, now = () => performance.now() } = options;
	const runs = new Map<string, Run>();
	let lastSession = 0;
	let closing = false;

	function runOf(trialId: number, { trialRunId, worldSize, isRunning }: Extract<OpenedRun, { open: true }>): Run {
		const key = `${trialId}/${trialRunId}`;
		let run = runs.get(key);
		if (run === undefined) {
			run = {
				trialId,
				trialRunId,
				state: createRunState(worldSize, isRunning ? now() : undefined),
				sessions: new Map(),
				closing: undefined,
				timer: undefined,
			};
			runs.set(key, run);
		}
		return run;
	}

	function dispatch(run: Run, event: RunEvent): void {
		for (const effect of transition(run.state, event, now())) {
			perform(run, effect);
		}
		clearTimeout(run.timer);
		const due = nextDeadline(run.state);
		if (due !== undefined && !closing) {
			run.timer = setTimeout(() => dispatch(run, { kind: "tick" }), Math.max(0, due - now()) + 1);
		}
		if (run.state.phase === "ended") {
			for (const session of run.sessions.values()) {
				// Whoever waited for another process to go is for the next run.
				if (!session.isMember) {
					run.sessions.delete(session.id);
					void enterNext(session, run);
				}
			}
			forget(run);
		}
	}

	function forget(run: Run): void {
		if (run.sessions.size === 0 && run.closing === undefined) {
			runs.delete(`${run.trialId}/${run.trialRunId}`);
		}
	}

	function perform(run: Run, effect: RunEffect): void {
		const { trialId, trialRunId } = run;
		switch (effect.kind) {
			case "admit": {
				const session = run.sessions.get(effect.session);
				if (session !== undefined) {
					session.isMember = true;
				}
				// The writes are done in their order, so that the start is recorded after the last member.
				remember(run, ledger.addMember(effect.join, trialRunId), () => welcome(run, effect.session));
				break;
			}
			case "welcome-back": {
				const session = run.sessions.get(effect.session);
				if (session !== undefined) {
					session.isMember = true;
				}
				welcome(run, effect.session);
				break;
			}
			case "refuse":
				run.sessions.get(effect.session)?.end(new MillraceError("already_exists", effect.reason));
				break;
			case "record-start":
				remember(run, ledger.startRun(trialId, trialRunId), () => dispatch(run, { kind: "recorded" }));
				break;
			case "started":
				run.sessions.get(effect.session)?.send({ message: { case: "started", value: startedMessage(run) } });
				break;
			case "answer":
				for (const value of answerMessages(effect.rank, effect.answer)) {
					run.sessions.get(effect.session)?.send({ message: { case: "answer", value } });
				}
				break;
			case "decide-step":
				remember(run, ledger.decideStep(trialId, trialRunId, effect.done), ({ preempted }) =>
					dispatch(run, { kind: "decided", channel: effect.channel, preempted }),
				);
				break;
			case "finish":
				remember(run, ledger.finishRun(trialId, trialRunId, effect.results), () =>
					dispatch(run, { kind: "decided", channel: effect.channel, preempted: false }),
				);
				break;
			case "remove-member":
				remember(run, ledger.removeMember(memberOf(run, effect.join)), () => {});
				break;
			case "fail":
				run.closing = failRun(run, effect);
		}
	}

	function welcome(run: Run, session: number): void {
		const { trialRunId } = run;
		run.sessions.get(session)?.send({ message: { case: "joined", value: { trialRunId } } });
	}

	/** Goes on once the ledger has it; a ledger that fails ends the run. */
	function remember<T>(run: Run, recorded: Promise<T>, then: (result: T) => void): void {
		recorded.then(then).catch((error) => {
			if (!isMillraceError(error)) {
				log(`trial ${run.trialId}, run ${run.trialRunId}`, error);
			}
			run.closing = failRun(run, { reason: messageOf(error) });
			dispatch(run, { kind: "close" });
		});
	}

	async function failRun(run: Run, failure: { reason: string; lost?: JoinRequest; timeout?: true }): Promise<void> {
		const { trialId, trialRunId } = run;
		try {
			const progress = failure.lost === undefined ? "" : `; ${await ledger.lastProgress(memberOf(run, failure.lost))}`;
			const closed = await ledger.closeRun(trialId, trialRunId, TrialRunState.FAILED, failure.reason + progress);
			if (failure.timeout) {
				endSessions(run, new MillraceError("deadline_exceeded", closed.reason));
			} else {
				runClosed(trialId, trialRunId, closed.state, closed.reason);
			}
		} catch (error) {
			log(`closing trial ${trialId}, run ${trialRunId}`, error);
			endSessions(run, new MillraceError("unavailable", "the server could not record the end of the run"));
		} finally {
			run.closing = undefined;
			forget(run);
		}
	}

	function runClosed(trialId: number, trialRunId: number, state: TrialRunState, reason: string): void {
		const run = runs.get(`${trialId}/${trialRunId}`);
		if (run !== undefined) {
			dispatch(run, { kind: "close" });
			for (const session of run.sessions.values()) {
				session.send({ message: { case: "ended", value: { state, reason, trialRunId } } });
			}
			endSessions(run);
		}
	}

	function endSessions(run: Run, error?: MillraceError): void {
		for (const session of run.sessions.values()) {
			session.end(error);
		}
		run.sessions.clear();
		clearTimeout(run.timer);
		forget(run);
	}

	async function attend(requests: AsyncIterable<AttendRequest>, context: DuplexContext<Outgoing>): Promise<void> {
		const incoming = requests[Symbol.asyncIterator]();
		const first = await incoming.next();
		const request = first.done ? undefined : first.value.message;
		if (request?.case !== "join") {
			throw new MillraceError("invalid_argument", "message: the first message of Attend must be a join");
		}
		const join = checkedJoin(request.value);
		await new Promise<void>((resolve, reject) => {
			const session: Session = {
				id: ++lastSession,
				join,
				run: undefined,
				isMember: false,
				isGone: false,
				send: (message) => context.send(message),
				end(error) {
					session.run?.sessions.delete(session.id);
					if (error === undefined) {
						resolve();
					} else {
						reject(error);
					}
				},
			};
			const gone = () => {
				session.isGone = true;
				if (session.run?.sessions.delete(session.id)) {
					dispatch(session.run, { kind: "disconnect", session: session.id });
				}
				resolve();
			};
			context.signal.addEventListener("abort", gone, { once: true });
			enter(session).catch(session.end);
			receive(session, incoming).then(gone, (error) => (isMalformed(error) ? expel(session, error) : gone()));
		});
	}

	/** Ends a stream that breaks the rules, and with it the membership: others must not wait for it. */
	function expel(session: Session, error: MillraceError): void {
		const { run } = session;
		session.end(error);
		if (run !== undefined) {
			dispatch(run, { kind: "leave", session: session.id, reason: error.message });
			// One that still waited for its rank has nothing to leave.
			dispatch(run, { kind: "disconnect", session: session.id });
		}
	}

	/** Brings a worker to the run that it may join. */
	async function enter(session: Session): Promise<void> {
		const { join } = session;
		const opened = await ledger.openRun(join);
		if (session.isGone) {
			return;
		}
		if (closing) {
			throw stopping();
		}
		if (!opened.open) {
			const { state, reason, trialRunId } = opened;
			session.send({ message: { case: "ended", value: { state, reason, trialRunId } } });
			session.end();
			return;
		}
		const run = runOf(join.trialId, opened);
		session.run = run;
		run.sessions.set(session.id, session);
		dispatch(run, { kind: "join", join, session: session.id, isMember: opened.isMember });
	}

	/** Brings a worker that came too late for a run to the next one. */
	async function enterNext(session: Session, run: Run): Promise<void> {
		await run.closing;
		await enter(session).catch(session.end);
	}

	async function receive(session: Session, incoming: AsyncIterator<AttendRequest>): Promise<void> {
		for (let next = await incoming.next(); !next.done; next = await incoming.next()) {
			const event = eventOf(session, next.value);
			if (session.run !== undefined) {
				dispatch(session.run, event);
			}
		}
	}

	return {
		handlers: { attend },
		runClosed,
		close() {
			closing = true;
			for (const run of runs.values()) {
				endSessions(run, stopping());
			}
		},
	};
}

function stopping(): MillraceError {
	return new MillraceError("unavailable", "the server is stopping");
}

function memberOf({ trialId, trialRunId }: Run, { rank, memberUuid }: JoinRequest) {
	return create(MemberSchema, { trialId, trialRunId, rank, memberUuid });
}

function startedMessage(run: Run) {
	const peers = [...run.state.members.values()]
		.map(({ join: { rank, localRank, nodeRank, host } }) => create(PeerSchema, { rank, localRank, nodeRank, host }))
		.sort((a, b) => a.rank - b.rank);
	return { trialRunId: run.trialRunId, peers };
}

function eventOf({ id, join }: Session, { message }: AttendRequest): RunEvent {
	switch (message.case) {
		case "contribution":
			return { kind: "contribute", rank: join.rank, session: id, contribution: checkedContribution(message.value) };
		case "leave":
			return { kind: "leave", session: id, reason: message.value.reason };
		default:
			throw new MillraceError("invalid_argument", "message: after the join, send contributions or a leave");
	}
}

function isMalformed(error: unknown): error is MillraceError {
	return isMillraceError(error, "invalid_argument") || isMillraceError(error, "resource_exhausted");
}
