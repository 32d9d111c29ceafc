import type { MessageInitShape } from "@bufbuild/protobuf";
import { MillraceError } from "../errors.js";
import {
	type CollectiveAnswer,
	type CollectiveCaller,
	CollectiveOperation,
	type CollectiveScope,
	type ContributionSchema,
	type JoinRequestSchema,
	type Peer,
} from "../gen/millrace/v1/rendezvous_pb.js";
import {
	type AttendRequestSchema,
	type AttendResponse,
	RendezvousService,
	type RunEnded,
} from "../gen/millrace/v1/rendezvous_service_pb.js";
import { TrialRunState } from "../gen/millrace/v1/trial_pb.js";
import type { Channel } from "../rpc/channel.js";
import { createRpcClient, type DuplexCall } from "../rpc/client.js";
import { backoffMs, sleep } from "../rpc/retry.js";
import { fromStatus } from "../rpc/status.js";

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

/** How an attempt to join ended. */
export type Attendance =
	| { readonly kind: "member"; readonly member: RendezvousMember }
	| { readonly kind: "ended"; readonly ended: RunEnded };

type Sent = MessageInitShape<typeof AttendRequestSchema>;

interface Open {
	readonly given: Given;
	readonly number: number;
	readonly payloads: Uint8Array[];
	resolve(taken: Taken): void;
	reject(error: MillraceError): void;
}

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
	const member = new RendezvousMember(channel, join);
	watch(member);
	const ended = await member.started;
	return ended === undefined ? { kind: "member", member } : { kind: "ended", ended };
}

/** A worker's place in a run, held by an open stream that comes back by itself when the connection breaks. */
export class RendezvousMember {
	/** Resolves when the run starts, or with the verdict of a trial that needs no run. */
	readonly started: Promise<RunEnded | undefined>;
	/** Aborted when the run ends before this worker's work; its reason is the error that says why. */
	readonly signal: AbortSignal;
	/** The run. */
	trialRunId = 0;
	/** All members, in rank order. */
	peers: readonly Peer[] = [];

	readonly #channel: Channel;
	readonly #join: JoinInit;
	readonly #lost = new AbortController();
	readonly #open = new Map<string, Open>();
	readonly #numbers = new Map<string, number>();
	readonly #turns = new Map<string, Promise<unknown>>();
	#call: DuplexCall<Sent, AttendResponse> | undefined;
	#joined = false;
	#closed = false;
	/** Aborted when the place is given up. */
	readonly #givenUp = new AbortController();
	#onStarted: (ended?: RunEnded) => void = () => {};
	#onRefused: (error: MillraceError) => void = () => {};

	constructor(channel: Channel, join: JoinInit) {
		this.#channel = channel;
		this.#join = join;
		this.signal = this.#lost.signal;
		this.started = new Promise((resolve, reject) => {
			this.#onStarted = resolve;
			this.#onRefused = reject;
		});
		void this.#attend();
	}

	/**
	 * Takes part in a collective operation; operations of one channel go one after the other.
	 *
	 * Throws `aborted` if the run ends before all have contributed: the message names who is missing.
	 */
	collective(given: Given): Promise<Taken> {
		const key = keyOf(given);
		const turn = (this.#turns.get(key) ?? Promise.resolve()).then(() => this.#contribute(key, given));
		this.#turns.set(
			key,
			turn.catch(() => {}),
		);
		return turn;
	}

	/** Leaves the run before its end: it fails for this reason. Resolves when the server knows, or cannot be told. */
	async leave(reason: string): Promise<void> {
		if (this.#closed || !this.#joined || this.#lost.signal.aborted) {
			this.close();
			return;
		}
		this.#call?.send({ message: { case: "leave", value: { reason } } });
		// The server's answer is the end of the run.
		await sleep(leaveMs, this.#lost.signal).catch(() => {});
		this.close();
	}

	/**
	 * Gives up the place; operations that are open fail with `cancelled`. After FINISH, or a STEP that preempted,
	 * nobody misses it.
	 */
	close(): void {
		this.#closed = true;
		this.#givenUp.abort();
		this.#rejectOpen(givenUp());
		this.#call?.end();
		this.#call?.cancel();
	}

	async #attend(): Promise<void> {
		let away = Date.now();
		for (let attempt = 1; !this.#closed; attempt++) {
			try {
				const call = createRpcClient(RendezvousService, this.#channel).attend();
				this.#call = call;
				call.send({ message: { case: "join", value: this.#join } });
				for await (const { message } of call) {
					attempt = 0;
					this.#receive(message);
				}
			} catch (error) {
				const failure = fromStatus(error);
				if (failure.code !== "unavailable") {
					this.#lose(failure);
				}
			}
			if (this.#closed || this.#lost.signal.aborted) {
				return;
			}
			if (attempt === 0) {
				away = Date.now();
			}
			const limit = this.#channel.reached ? this.#channel.retryMs : this.#channel.connectMs;
			if (Date.now() - away > limit) {
				const seconds = Math.round((Date.now() - away) / 1000);
				this.#lose(new MillraceError("unavailable", `no answer from ${this.#channel.address} for ${seconds} s`));
				return;
			}
			// It has a second to come back, and has to use it.
			const wait = Date.now() - away < eagerMs ? eagerWaitMs : backoffMs(attempt + 1);
			await sleep(wait, this.#givenUp.signal).catch(() => {});
		}
	}

	#receive(message: AttendResponse["message"]): void {
		switch (message.case) {
			case "joined":
				this.trialRunId = message.value.trialRunId;
				this.#joined = true;
				for (const open of this.#open.values()) {
					// The answer may have broken off half way; it comes again from its start.
					open.payloads.length = 0;
					this.#send(open);
				}
				break;
			case "started":
				this.trialRunId = message.value.trialRunId;
				this.peers = message.value.peers;
				this.#onStarted();
				break;
			case "answer":
				this.#answer(message.value);
				break;
			case "ended":
				this.#end(message.value);
				break;
		}
	}

	#contribute(key: string, given: Given): Promise<Taken> {
		if (this.#lost.signal.aborted) {
			return Promise.reject(this.#lost.signal.reason);
		}
		if (this.#closed) {
			return Promise.reject(givenUp());
		}
		const number = (this.#numbers.get(key) ?? 0) + 1;
		this.#numbers.set(key, number);
		return new Promise((resolve, reject) => {
			const open = { given, number, payloads: [], resolve, reject };
			this.#open.set(key, open);
			this.#send(open);
		});
	}

	#send({ given: { scope, caller, ...rest }, number }: Open): void {
		const { results, ...given } = rest;
		const value: MessageInitShape<typeof ContributionSchema> = { channel: { scope, caller }, number, ...given };
		if (results !== undefined) {
			value.results = [...results];
		}
		this.#call?.send({ message: { case: "contribution", value } });
	}

	#answer(answer: CollectiveAnswer): void {
		if (answer.channel === undefined) {
			return;
		}
		const key = keyOf(answer.channel);
		const open = this.#open.get(key);
		if (open === undefined || open.number !== answer.number) {
			return;
		}
		open.payloads.push(...answer.payloads.map(({ payload }) => payload));
		if (!answer.more) {
			this.#open.delete(key);
			open.resolve({ payloads: open.payloads, preempted: answer.preempted });
		}
	}

	#end(ended: RunEnded): void {
		this.trialRunId ||= ended.trialRunId;
		// The answer itself may have been lost with the connection; the verdict says the same.
		for (const open of this.#open.values()) {
			const finished = open.given.operation === CollectiveOperation.FINISH && ended.state === TrialRunState.COMPLETED;
			const preempted = open.given.operation === CollectiveOperation.STEP && ended.state === TrialRunState.PREEMPTED;
			if (finished || preempted) {
				open.resolve({ payloads: [], preempted });
				this.#closed = true;
			}
		}
		if (!this.#joined) {
			this.#closed = true;
			this.#onStarted(ended);
		}
		if (this.#closed) {
			this.#rejectOpen(givenUp());
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
		this.#rejectOpen(error);
		this.#onRefused(error);
		this.#lost.abort(error);
	}

	#rejectOpen(error: MillraceError): void {
		for (const open of this.#open.values()) {
			open.reject(error);
		}
		this.#open.clear();
	}
}

function givenUp(): MillraceError {
	return new MillraceError("cancelled", "this worker has given up its place in the run");
}

/** How long after its connection broke a worker tries often to come back, and how often. */
const eagerMs = 2_000;
const eagerWaitMs = 50;
/** How long a worker that leaves waits for the server to know it. */
const leaveMs = 2_000;

function keyOf({ caller, scope }: { caller: CollectiveCaller; scope: CollectiveScope }): string {
	return `${caller}:${scope}`;
}
