import type { MessageInitShape } from "@bufbuild/protobuf";
import { MillraceError } from "../errors.js";
import type { HeartbeatSchema, Peer } from "../gen/millrace/v1/rendezvous_pb.js";
import {
	type AttendRequestSchema,
	type AttendResponse,
	type Joined,
	RendezvousService,
	type RunEnded,
} from "../gen/millrace/v1/rendezvous_service_pb.js";
import { TrialRunState } from "../gen/millrace/v1/trial_pb.js";
import type { Channel } from "../rpc/channel.js";
import { createRpcClient, type DuplexCall } from "../rpc/client.js";
import { pushbackOf } from "../rpc/pushback.js";
import { backoffMs, sleep } from "../rpc/retry.js";
import { fromStatus, isAnswer } from "../rpc/status.js";
import { findTlsFault } from "../rpc/tls-fault.js";
import { createAwakeClock } from "./awake-clock.js";
import type { Given, JoinInit, RendezvousMember, StepBegin, Taken } from "./client.js";
import { type MemberMessage, OpenCollectives } from "./open-collectives.js";

type Sent = MessageInitShape<typeof AttendRequestSchema>;

/** A member that speaks to the server from this thread. */
export class StreamMember implements RendezvousMember {
	readonly started: Promise<RunEnded | undefined>;
	readonly signal: AbortSignal;
	trialRunId = 0;
	peers: readonly Peer[] = [];

	readonly #channel: Channel;
	readonly #join: JoinInit;
	readonly #lost = new AbortController();
	/** Aborted when the place is given up. */
	readonly #givenUp = new AbortController();
	readonly #collectives: OpenCollectives;
	readonly #now = createAwakeClock();
	#call: DuplexCall<Sent, AttendResponse> | undefined;
	/** The call, and earlier ones that were taken for dead. */
	readonly #calls = new Set<DuplexCall<Sent, AttendResponse> | undefined>();
	/** End the connections of the earlier calls. */
	readonly #drops: (() => void)[] = [];
	#attempts = 0;
	/** Why the server did not take the last attempt. */
	#refusal: string | undefined;
	/** How the last attempt failed. */
	#failure: MillraceError | undefined;
	/** Whether anything came on the call. */
	#hasHeard = false;
	/** Gives up waiting for the call; undefined while there is none. */
	#onDead: (() => void) | undefined;
	/** The lease, as the server said it. */
	#leaseMs: number | undefined;
	#heardAt = 0;
	/** When it last told what it is at. */
	#toldAt = Number.NEGATIVE_INFINITY;
	#step: StepBegin | undefined;
	#lastStep = 0;
	/** Since when it is at this step, or at none. */
	#stepSince: number;
	#joined = false;
	#closed = false;
	#leaving: string | undefined;
	#pulse: NodeJS.Timeout | undefined;
	#onStarted: (ended?: RunEnded) => void = () => {};
	#onRefused: (error: MillraceError) => void = () => {};

	constructor(channel: Channel, join: JoinInit) {
		this.#channel = channel;
		this.#join = join;
		this.signal = this.#lost.signal;
		this.#stepSince = this.#now();
		this.#collectives = new OpenCollectives(
			(message) => this.#send(message),
			() => this.#refused(),
		);
		this.started = new Promise((resolve, reject) => {
			this.#onStarted = resolve;
			this.#onRefused = reject;
		});
		this.#beat();
		void this.#attend().finally(() => clearInterval(this.#pulse));
	}

	collective(given: Given): Promise<Taken> {
		return this.#collectives.take(given);
	}

	beginStep(step: StepBegin): void {
		this.#step = step;
		this.#lastStep = step.step;
		this.#stepSince = this.#now();
	}

	/** @param completed How many steps are completed. Default: the one that ends too, if it was processed. */
	endStep(completed = this.#lastStep + (this.#step?.isLoading ? 0 : 1)): void {
		this.#lastStep = completed;
		this.#step = undefined;
		this.#stepSince = this.#now();
	}

	async leave(reason: string): Promise<void> {
		if (this.#closed || !this.#joined || this.#lost.signal.aborted) {
			this.close();
			return;
		}
		// If the connection is broken, it is said once there is another.
		this.#leaving = reason;
		this.#sendLeave();
		// The server's answer is the end of the run, or of the stream.
		await sleep(leaveMs, AbortSignal.any([this.#lost.signal, this.#givenUp.signal])).catch(() => {});
		this.close();
	}

	close(): void {
		this.#closed = true;
		this.#givenUp.abort();
		this.#collectives.reject(givenUp());
		this.#call?.end();
		this.#cancelCalls();
	}

	/** Cancels all calls but one, and ends their connections. */
	#cancelCalls(but?: DuplexCall<Sent, AttendResponse>): void {
		for (const call of this.#calls) {
			if (call !== but) {
				call?.cancel();
			}
		}
		for (const drop of this.#drops.splice(0)) {
			drop();
		}
	}

	async #attend(): Promise<void> {
		let away = Date.now();
		for (let attempt = 1; !this.#closed; attempt++) {
			const dead = new Promise<void>((resolve) => {
				this.#onDead = resolve;
			});
			await Promise.race([this.#listen(), dead]);
			this.#onDead = undefined;
			if (this.#hasHeard) {
				attempt = 0;
				this.#hasHeard = false;
			}
			if (this.#closed || this.#lost.signal.aborted) {
				this.#givenUp.abort();
				return;
			}
			if (attempt === 0) {
				away = Date.now();
			}
			const limit = this.#channel.reached ? this.#channel.retryMs : this.#channel.connectMs;
			if (Date.now() - away > limit) {
				const seconds = Math.round((Date.now() - away) / 1000);
				const what = this.#refusal === undefined ? "no answer" : "no place in the run";
				const why = this.#refusal === undefined ? "" : `: ${this.#refusal}`;
				const { address } = this.#channel;
				const lost = new MillraceError("unavailable", `${what} from ${address} for ${seconds} s${why}`);
				const fault = this.#failure && (await findTlsFault(this.#channel, this.#failure, this.#givenUp.signal));
				this.#lose(fault ?? lost);
				return;
			}
			// It has a second to come back, and has to use it.
			const wait = Date.now() - away < eagerMs ? eagerWaitMs : Math.min(backoffMs(attempt + 1), longestWaitMs);
			await sleep(wait, this.#givenUp.signal).catch(() => {});
		}
	}

	/** Joins by a call, and hears what comes on it, to its end; but nothing more once there is another. */
	async #listen(): Promise<void> {
		let call: DuplexCall<Sent, AttendResponse> | undefined;
		try {
			call = createRpcClient(RendezvousService, this.#channel).attend();
			this.#call = call;
			this.#calls.add(call);
			this.#heardAt = this.#now();
			this.#send({ case: "join", value: { ...this.#join, attempt: this.#attempts++ } });
			for await (const { message } of call) {
				if (this.#call !== call) {
					return;
				}
				this.#hasHeard = true;
				this.#heardAt = this.#now();
				this.#receive(message);
			}
			// Where the run has not started, there is no other answer to a leave.
			this.#closed ||= this.#leaving !== undefined;
		} catch (error) {
			const failure = fromStatus(error);
			if (call !== undefined && this.#call !== call) {
				return;
			}
			this.#failure = failure;
			if (failure.code !== "unavailable" && pushbackOf(failure) === undefined) {
				this.#lose(failure);
			}
			// A server that cannot take it now, as on a full disk or beyond a limit, has been reached, and says why.
			this.#refusal = isAnswer(failure) ? failure.message : undefined;
			this.#channel.reached ||= this.#refusal !== undefined;
		} finally {
			this.#calls.delete(call);
		}
	}

	/** Tells the server in time that this worker is alive, and notices that nothing comes from the server. */
	#beat(): void {
		const leaseMs = this.#leaseMs ?? unknownLeaseMs;
		clearInterval(this.#pulse);
		this.#pulse = setInterval(
			() => {
				const now = this.#now();
				if (this.#onDead === undefined) {
					return;
				}
				if (now - this.#heardAt >= leaseMs / 3) {
					// Found dead in a third of a lease, there is time to come back by another way. The call is not cancelled: if
					// it is only slow, the server would take its end for the member's.
					this.#drops.push(this.#channel.renew());
					this.#onDead();
				} else if (now - this.#toldAt >= Math.min(leaseMs / 6, longestTellMs)) {
					this.#toldAt = now;
					for (const call of this.#calls) {
						call?.send({ message: { case: "heartbeat", value: this.#heartbeat() } });
					}
				}
			},
			Math.min(leaseMs / 30, 500),
		);
	}

	#heartbeat(): MessageInitShape<typeof HeartbeatSchema> {
		const step = this.#lastStep;
		const unchangedMs = Math.min(Math.round(this.#now() - this.#stepSince), 2 ** 31 - 1);
		if (this.#step === undefined) {
			return { step, unchangedMs };
		}
		const { first, end, isLoading: loading = false } = this.#step;
		return { step, inFlight: { first: BigInt(first), end: BigInt(end) }, loading, unchangedMs };
	}

	#send(message: MemberMessage): void {
		this.#call?.send({ message });
	}

	#sendLeave(): void {
		if (this.#leaving !== undefined) {
			this.#send({ case: "leave", value: { reason: this.#leaving } });
		}
	}

	#receive(message: AttendResponse["message"]): void {
		switch (message.case) {
			case "joined":
				this.#onJoined(message.value);
				break;
			case "started":
				this.trialRunId = message.value.trialRunId;
				this.peers = message.value.peers;
				this.#onStarted();
				break;
			case "answer":
				this.#collectives.answer(message.value);
				break;
			case "ended":
				this.#end(message.value);
				break;
		}
	}

	#onJoined({ trialRunId, leaseMs, recollect }: Joined): void {
		this.trialRunId = trialRunId;
		this.#joined = true;
		// A server that was started again knows nothing of it.
		this.#toldAt = Number.NEGATIVE_INFINITY;
		this.#cancelCalls(this.#call);
		if (leaseMs > 0 && leaseMs !== this.#leaseMs) {
			this.#leaseMs = leaseMs;
			this.#beat();
		}
		this.#collectives.sayAgain(recollect);
		this.#sendLeave();
	}

	/** Why it takes part in nothing any more; undefined while it does. */
	#refused(): MillraceError | undefined {
		if (this.#lost.signal.aborted) {
			return this.#lost.signal.reason as MillraceError;
		}
		return this.#closed ? givenUp() : undefined;
	}

	#end(ended: RunEnded): void {
		this.trialRunId ||= ended.trialRunId;
		if (this.#collectives.answerBy(ended)) {
			this.#closed = true;
		}
		if (!this.#joined) {
			this.#closed = true;
			this.#onStarted(ended);
		}
		if (this.#closed) {
			this.#collectives.reject(givenUp());
			return;
		}
		const verdict = TrialRunState[ended.state]?.toLowerCase() ?? "closed";
		const reason = ended.reason === "" ? "" : `: ${ended.reason}`;
		const error = new MillraceError("aborted", `run ${ended.trialRunId} of the trial is ${verdict}${reason}`);
		// It has its cause in another process; a stack of this one would only hide the sentence.
		error.stack = `${error.name}: ${error.message}`;
		this.#lose(error);
	}

	#lose(error: MillraceError): void {
		this.#collectives.reject(error);
		this.#onRefused(error);
		this.#lost.abort(error);
	}
}

function givenUp(): MillraceError {
	return new MillraceError("cancelled", "this worker has given up its place in the run");
}

/** What a lease is taken for until the server has said it: one that starts may be slow to answer. */
const unknownLeaseMs = 90_000;
/** How long after its connection broke a worker tries often to come back, and how often. */
const eagerMs = 2_000;
const eagerWaitMs = 50;
/** The longest pause between two attempts: the first may have reached a server that then gave it a second. */
const longestWaitMs = 300;
/** The longest time between two heartbeats, in milliseconds: who watches the run shall know what its workers are at. */
const longestTellMs = 2_500;
/** How long a worker that leaves waits for the server to know it. */
const leaveMs = 5_000;
