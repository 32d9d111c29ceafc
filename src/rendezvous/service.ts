import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { MillraceError, messageOf } from "../errors.js";
import {
	CollectiveOperation,
	type Contribution,
	type JoinRequest,
	PeerSchema,
} from "../gen/millrace/v1/rendezvous_pb.js";
import type {
	AttendRequest,
	AttendResponseSchema,
	RendezvousService,
} from "../gen/millrace/v1/rendezvous_service_pb.js";
import { MemberSchema, TrialRunState } from "../gen/millrace/v1/trial_pb.js";
import type { DuplexContext, ServiceHandlers } from "../rpc/handler.js";
import type { ErrorLog } from "../rpc/status.js";
import type { RunLedger } from "./run-ledger.js";
import {
	type Answer,
	createRunState,
	nextDeadline,
	type RunEffect,
	type RunEvent,
	type RunState,
	transition,
} from "./state.js";

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
	send(message: Outgoing): void;
	/** Ends the stream, with an error if there is one. */
	end(error?: MillraceError): void;
}

interface Run {
	readonly trialId: number;
	readonly trialRunId: number;
	readonly state: RunState;
	readonly sessions: Map<number, Session>;
	timer: NodeJS.Timeout | undefined;
}

/** Makes the rendezvous service over a ledger. `now` tells the time in milliseconds, for tests. */
export function createRendezvousService(options: { ledger: RunLedger; log: ErrorLog; now?: () => number }): Rendezvous {
	const { ledger, log, now = () => performance.now() } = options;
	const runs = new Map<string, Run>();
	let lastSession = 0;
	let closing = false;

	function runOf(trialId: number, trialRunId: number, worldSize: number): Run {
		const key = `${trialId}/${trialRunId}`;
		let run = runs.get(key);
		if (run === undefined) {
			run = { trialId, trialRunId, state: createRunState(worldSize), sessions: new Map(), timer: undefined };
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
		if (run.state.phase === "ended" && run.sessions.size === 0) {
			runs.delete(`${run.trialId}/${run.trialRunId}`);
		}
	}

	function perform(run: Run, effect: RunEffect): void {
		const { trialId, trialRunId } = run;
		switch (effect.kind) {
			case "welcome":
				run.sessions.get(effect.session)?.send({ message: { case: "joined", value: { trialRunId } } });
				break;
			case "refuse":
				run.sessions.get(effect.session)?.end(new MillraceError(effect.code, effect.reason));
				break;
			case "record-start":
				remember(run, ledger.startRun(trialId, trialRunId), () => ({ kind: "recorded" }));
				break;
			case "started":
				run.sessions.get(effect.session)?.send({ message: { case: "started", value: startedMessage(run) } });
				break;
			case "answer":
				sendAnswer(run.sessions.get(effect.session), effect.rank, effect.answer);
				break;
			case "decide-step":
				remember(run, ledger.decideStep(trialId, trialRunId, effect.done), ({ preempted }) => ({
					kind: "decided",
					channel: effect.channel,
					preempted,
				}));
				break;
			case "finish":
				remember(run, ledger.finishRun(trialId, trialRunId, effect.results), () => ({
					kind: "decided",
					channel: effect.channel,
					preempted: false,
				}));
				break;
			case "remove-member":
				remember(run, ledger.removeMember(memberOf(run, effect.rank)));
				break;
			case "fail":
				void failRun(run, effect);
		}
	}

	/** Goes on with an event once the ledger has it; a ledger that fails ends the run. */
	function remember<T>(run: Run, recorded: Promise<T>, then?: (result: T) => RunEvent): void {
		recorded.then(
			(result) => {
				if (then !== undefined) {
					dispatch(run, then(result));
				}
			},
			(error) => {
				log(`trial ${run.trialId}, run ${run.trialRunId}`, error);
				dispatch(run, { kind: "close" });
				void failRun(run, { reason: messageOf(error) });
			},
		);
	}

	async function failRun(run: Run, failure: { reason: string; lost?: number; timeout?: true }): Promise<void> {
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
		runs.delete(`${run.trialId}/${run.trialRunId}`);
	}

	async function attend(requests: AsyncIterable<AttendRequest>, context: DuplexContext<Outgoing>): Promise<void> {
		const incoming = requests[Symbol.asyncIterator]();
		const first = await incoming.next();
		const request = first.done ? undefined : first.value.message;
		if (request?.case !== "join") {
			throw new MillraceError("invalid_argument", "message: the first message of Attend must be a join");
		}
		const join = checkedJoin(request.value);
		const opened = await ledger.openRun(join);
		if (!opened.open) {
			const { state, reason, trialRunId } = opened;
			context.send({ message: { case: "ended", value: { state, reason, trialRunId } } });
			return;
		}
		await ledger.addMember(join, opened.trialRunId);
		if (context.signal.aborted) {
			return;
		}
		const run = runOf(join.trialId, opened.trialRunId, opened.worldSize);
		const id = ++lastSession;
		await new Promise<void>((resolve, reject) => {
			const end = (error?: MillraceError) => {
				run.sessions.delete(id);
				if (error === undefined) {
					resolve();
				} else {
					reject(error);
				}
			};
			run.sessions.set(id, { id, send: (message) => context.send(message), end });
			const gone = () => {
				if (run.sessions.delete(id)) {
					dispatch(run, { kind: "disconnect", session: id });
				}
				resolve();
			};
			context.signal.addEventListener("abort", gone, { once: true });
			dispatch(run, { kind: "join", join, session: id });
			receive(run, id, join.rank, incoming).then(gone, (error) =>
				isMalformed(error) ? run.sessions.get(id)?.end(error) : gone(),
			);
		});
	}

	async function receive(run: Run, session: number, rank: number, incoming: AsyncIterator<AttendRequest>) {
		for (let next = await incoming.next(); !next.done; next = await incoming.next()) {
			const { message } = next.value;
			switch (message.case) {
				case "contribution":
					dispatch(run, { kind: "contribute", rank, session, contribution: checkedContribution(message.value) });
					break;
				case "leave":
					dispatch(run, { kind: "leave", session, reason: message.value.reason });
					break;
				default:
					throw new MillraceError("invalid_argument", "message: after the join, send contributions or a leave");
			}
		}
	}

	return {
		handlers: { attend },
		runClosed,
		close() {
			closing = true;
			for (const run of runs.values()) {
				endSessions(run, new MillraceError("unavailable", "the server is stopping"));
			}
		},
	};
}

function memberOf(run: Run, rank: number) {
	const memberUuid = run.state.members.get(rank)?.join.memberUuid ?? "";
	return create(MemberSchema, { trialId: run.trialId, trialRunId: run.trialRunId, rank, memberUuid });
}

function startedMessage(run: Run) {
	const peers = [...run.state.members.values()]
		.map(({ join: { rank, localRank, nodeRank, host } }) => create(PeerSchema, { rank, localRank, nodeRank, host }))
		.sort((a, b) => a.rank - b.rank);
	return { trialRunId: run.trialRunId, peers };
}

/** Sends what the rank is due, each payload in a message of its own so that none grows with the world size. */
function sendAnswer(session: Session | undefined, rank: number, { channel, number, ...answer }: Answer): void {
	if (session === undefined) {
		return;
	}
	const given = [...answer.contributions];
	const lowest = given[0]?.[0];
	const due =
		answer.operation === CollectiveOperation.ALLGATHER ||
		(answer.operation === CollectiveOperation.GATHER && rank === lowest)
			? given
			: answer.operation === CollectiveOperation.BROADCAST
				? given.slice(0, 1)
				: [];
	let size = 0;
	let payloads: { rank: number; payload: Uint8Array }[] = [];
	for (const [from, { payload }] of due) {
		if (payloads.length > 0 && size + payload.length > answerBytes) {
			session.send({ message: { case: "answer", value: { channel, number, payloads, more: true } } });
			payloads = [];
			size = 0;
		}
		payloads.push({ rank: from, payload });
		size += payload.length;
	}
	const { preempted } = answer;
	session.send({ message: { case: "answer", value: { channel, number, payloads, more: false, preempted } } });
}

/** The most bytes of payloads that are put together in one message of an answer. */
const answerBytes = 4 * 1024 * 1024;
/** The most bytes of one contribution. */
const contributionBytes = 16 * 1024 * 1024;

function checkedJoin(join: JoinRequest): JoinRequest {
	const checks: [boolean, string][] = [
		[join.trialId > 0, `trial_id is ${join.trialId}; it must be the id of a trial`],
		[join.trialRunId >= 0, `trial_run_id is ${join.trialRunId}; it must not be negative`],
		[join.memberUuid !== "", "member_uuid is empty; it must be a UUID that the process chose"],
		[join.worldSize > 0, `world_size is ${join.worldSize}; it must be at least 1`],
		[join.rank >= 0 && join.rank < join.worldSize, `rank is ${join.rank}; it must be from 0 to world_size - 1`],
		[
			join.localWorldSize > 0 && join.localWorldSize <= join.worldSize,
			`local_world_size is ${join.localWorldSize}; it must be from 1 to world_size (${join.worldSize})`,
		],
		[
			join.localRank >= 0 && join.localRank < join.localWorldSize,
			`local_rank is ${join.localRank}; it must be from 0 to local_world_size - 1`,
		],
		[join.nodeRank >= 0, `node_rank is ${join.nodeRank}; it must not be negative`],
		[join.joinTimeoutMs >= 0, `join_timeout_ms is ${join.joinTimeoutMs}; it must not be negative`],
	];
	const broken = checks.find(([holds]) => !holds);
	if (broken !== undefined) {
		throw new MillraceError("invalid_argument", broken[1]);
	}
	return join;
}

function checkedContribution(contribution: Contribution): Contribution {
	const { channel, number, operation, payload } = contribution;
	if (channel === undefined || channel.scope === 0 || channel.caller === 0) {
		throw new MillraceError("invalid_argument", "contribution.channel must name a scope and a caller");
	}
	if (number < 1) {
		throw new MillraceError("invalid_argument", `contribution.number is ${number}; operations count from 1`);
	}
	if (operation === CollectiveOperation.UNSPECIFIED || CollectiveOperation[operation] === undefined) {
		throw new MillraceError("invalid_argument", `contribution.operation is ${operation}; it must be a known operation`);
	}
	if (payload.length > contributionBytes) {
		throw new MillraceError(
			"resource_exhausted",
			`contribution.payload has ${payload.length} bytes; the most is ${contributionBytes}`,
		);
	}
	return contribution;
}

function isMalformed(error: unknown): error is MillraceError {
	return error instanceof MillraceError && (error.code === "invalid_argument" || error.code === "resource_exhausted");
}
