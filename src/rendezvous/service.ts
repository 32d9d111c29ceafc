import { isMillraceError, MillraceError } from "../errors.js";
import type { AttendRequest, RendezvousService } from "../gen/millrace/v1/rendezvous_service_pb.js";
import type { TrialRunState } from "../gen/millrace/v1/trial_pb.js";
import type { DuplexContext, ServiceHandlers } from "../rpc/handler.js";
import type { ErrorLog } from "../rpc/status.js";
import type { RunActivity } from "./activity.js";
import { checkedContribution, checkedJoin, checkedRecollection } from "./attend-checks.js";
import { createAwakeClock } from "./awake-clock.js";
import { OpenRun, type Outgoing, type Session } from "./open-run.js";
import type { OpenedRun, RunLedger } from "./run-ledger.js";
import { createRunState, defaultLeaseMs, type RunEvent } from "./state.js";

/** The rendezvous of all open runs. */
export interface Rendezvous {
	readonly handlers: ServiceHandlers<typeof RendezvousService>;
	/** Tells the members of a run that it was closed by someone else. */
	runClosed(trialId: number, trialRunId: number, state: TrialRunState, reason: string): void;
	/** Tells whether a run has members, those among them that were gone for less than their time to come back. */
	hasMembers(trialId: number, trialRunId: number): boolean;
	/** Tells what the members of a run are at; undefined if none of them was here since this server's start. */
	activityOf(trialId: number, trialRunId: number): RunActivity | undefined;
	/** How long a silent member is kept, in milliseconds. */
	readonly leaseMs: number;
	/** Tells the time that counts for leases, in milliseconds; it stands still while this process does. */
	now(): number;
	/** Ends all streams. The runs stay open: their members come back to the next server. */
	close(): void;
}

/** What a rendezvous is made of. */
export interface RendezvousOptions {
	readonly ledger: RunLedger;
	readonly log: ErrorLog;
	/** How long a silent member is kept, in milliseconds. Default 15,000. */
	readonly leaseMs?: number | undefined;
}

/** How often it is looked for members that are gone, in milliseconds. */
const tickMs = 100;

/** Makes the rendezvous service over a ledger. */
export function createRendezvousService({ ledger, log, leaseMs = defaultLeaseMs }: RendezvousOptions): Rendezvous {
	const runs = new Map<string, OpenRun>();
	const stop = new AbortController();
	const now = createAwakeClock();
	let lastSession = 0;

	const ticks = setInterval(() => {
		now();
		for (const run of [...runs.values()]) {
			run.dispatch({ kind: "tick" });
		}
	}, tickMs);

	function runOf(trialId: number, { trialRunId, worldSize, isRunning }: Extract<OpenedRun, { open: true }>): OpenRun {
		const key = `${trialId}/${trialRunId}`;
		let run = runs.get(key);
		if (run === undefined) {
			const state = createRunState(worldSize, leaseMs, isRunning ? now() : undefined);
			run = new OpenRun({ trialId, trialRunId }, state, {
				ledger,
				log,
				stopping: stop.signal,
				now,
				forget: () => runs.delete(key),
				enterNext: (session) => void enter(session).catch(session.end),
			});
			runs.set(key, run);
		}
		return run;
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
					session.isGone = true;
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
					session.run.dispatch({ kind: "disconnect", rank: join.rank, session: session.id });
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
		const { run, id, join } = session;
		session.end(error);
		run?.dispatch({ kind: "leave", rank: join.rank, session: id, reason: error.message });
		// One that still waited for its rank has nothing to leave.
		run?.dispatch({ kind: "disconnect", rank: join.rank, session: id });
	}

	/** Brings a worker to the run that it may join. */
	async function enter(session: Session): Promise<void> {
		const { join } = session;
		const own = [...runs.values()].find((run) => run.trialId === join.trialId && run.hasMember(join));
		if (own !== undefined) {
			// It has a second to come back, and the ledger may be busy for longer.
			place(session, own, true);
			return;
		}
		const opened = await ledger.openRun(join);
		if (session.isGone) {
			return;
		}
		if (stop.signal.aborted) {
			throw stoppingError();
		}
		if (!opened.open) {
			const { state, reason, trialRunId } = opened;
			session.send({ message: { case: "ended", value: { state, reason, trialRunId } } });
			session.end();
			return;
		}
		place(session, runOf(join.trialId, opened), opened.isMember);
	}

	function place(session: Session, run: OpenRun, isMember: boolean): void {
		session.run = run;
		run.sessions.set(session.id, session);
		run.dispatch({ kind: "join", join: session.join, session: session.id, isMember });
	}

	async function receive(session: Session, incoming: AsyncIterator<AttendRequest>): Promise<void> {
		for (let next = await incoming.next(); !next.done; next = await incoming.next()) {
			const event = eventOf(session, next.value);
			if (event.kind === "alive") {
				session.send({ message: { case: "heartbeat", value: {} } });
			}
			session.run?.dispatch(event);
		}
	}

	return {
		handlers: { attend },
		leaseMs,
		now,
		activityOf: (trialId, trialRunId) => runs.get(`${trialId}/${trialRunId}`)?.activity,
		hasMembers: (trialId, trialRunId) => runs.get(`${trialId}/${trialRunId}`)?.hasMembers ?? false,
		runClosed: (trialId, trialRunId, state, reason) => runs.get(`${trialId}/${trialRunId}`)?.tellClosed(state, reason),
		close() {
			stop.abort();
			clearInterval(ticks);
			for (const run of [...runs.values()]) {
				run.endSessions(stoppingError());
			}
		},
	};
}

function stoppingError(): MillraceError {
	return new MillraceError("unavailable", "the server is stopping");
}

function eventOf({ id: session, join: { rank } }: Session, { message }: AttendRequest): RunEvent {
	switch (message.case) {
		case "contribution":
			return { kind: "contribute", rank, session, contribution: checkedContribution(message.value) };
		case "recollection": {
			const { contribution, answered, preempted } = checkedRecollection(message.value);
			return { kind: "contribute", rank, session, contribution, answered: answered ? { preempted } : undefined };
		}
		case "heartbeat": {
			const { step, inFlight, loading: isLoading, unchangedMs } = message.value;
			// What cannot be true is no reason to end a run.
			return {
				kind: "alive",
				rank,
				session,
				progress: { step, inFlight, isLoading },
				unchangedMs: Math.max(0, unchangedMs),
			};
		}
		case "leave":
			return { kind: "leave", rank, session, reason: message.value.reason };
		default:
			throw new MillraceError(
				"invalid_argument",
				"message: after the join, send contributions, recollections, heartbeats or a leave",
			);
	}
}

function isMalformed(error: unknown): error is MillraceError {
	return isMillraceError(error, "invalid_argument") || isMillraceError(error, "resource_exhausted");
}
