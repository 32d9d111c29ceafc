import { Worker } from "node:worker_threads";
import { MillraceError, messageOf } from "../errors.js";
import type { Peer } from "../gen/millrace/v1/rendezvous_pb.js";
import type { RunEnded } from "../gen/millrace/v1/rendezvous_service_pb.js";
import type { Channel } from "../rpc/channel.js";
import { threadEntry } from "../thread-entry.js";
import type {
	Attendance,
	AttendOptions,
	Given,
	JoinInit,
	MemberHolder,
	RendezvousMember,
	StepBegin,
	Taken,
} from "./client.js";
import type { MemberThreadData, MemberThreadEvent, MemberThreadRequest, ThreadError } from "./member-thread.js";
import { StepMemory } from "./step-memory.js";

/** How to join from a thread. */
export interface ThreadAttendOptions extends AttendOptions {
	/**
	 * How long this thread may take to leave or close once the run is over, in milliseconds, before this process is
	 * ended. Default 30,000.
	 */
	readonly reactMs?: number | undefined;
}

/** How long a thread may take to notice that its run is over: what it does meanwhile is in vain. */
const defaultReactMs = 30_000;

/** A thread that will hold a member's stream. */
export interface MemberThread extends MemberHolder {
	/** @internal */
	readonly worker: Worker;
}

/**
 * Starts the thread of a member, so that it loads what it needs while this one finds the server. It also ends the
 * process, by SIGKILL, when the parent that holds its stdin is gone and this thread is stuck.
 */
export function startMemberThread(): MemberThread {
	// The parent's --import and --require are for the user's script; in the thread they would only cost time.
	const worker = new Worker(threadEntry("member-thread", import.meta.url), { execArgv: [] });
	worker.unref();
	const thread: MemberThread = {
		worker,
		attend: (channel, join, options) => attendInThread(thread, channel, join, options),
		close: () => void worker.terminate(),
	};
	return thread;
}

/**
 * As `attend`, but the stream is held by a thread of its own, over a connection of its own to the channel's server:
 * user code that blocks this thread costs no membership. The thread also ends the process, by SIGKILL, when
 * a batch takes longer to load or to process than `stepTimeoutMs`, or this thread has not left `reactMs` after the end of the run.
 */
export async function attendInThread(
	{ worker }: MemberThread,
	channel: Channel,
	join: JoinInit,
	{ watch = () => {}, stepTimeoutMs, reactMs = defaultReactMs }: ThreadAttendOptions = {},
): Promise<Attendance> {
	const { address, connectMs, retryMs, security } = channel;
	const member = new ThreadMember(worker, { address, connectMs, retryMs, security, join, stepTimeoutMs, reactMs });
	watch(member);
	try {
		const ended = await member.started;
		if (ended === undefined) {
			return { kind: "member", member };
		}
		member.close();
		return { kind: "ended", ended };
	} catch (error) {
		member.close();
		throw error;
	}
}

interface Waiting {
	resolve(taken: Taken): void;
	reject(error: MillraceError): void;
}

/** A member whose stream is held by a thread. */
class ThreadMember implements RendezvousMember {
	readonly started: Promise<RunEnded | undefined>;
	readonly signal: AbortSignal;
	trialRunId = 0;
	peers: readonly Peer[] = [];
	readonly #thread: Worker;
	readonly #steps = new StepMemory();
	readonly #lost = new AbortController();
	readonly #waiting = new Map<number, Waiting>();
	#lastId = 0;
	#closed = false;
	#onStarted: (ended?: RunEnded) => void = () => {};
	#onRefused: (error: MillraceError) => void = () => {};
	#onLeft: () => void = () => {};

	constructor(thread: Worker, data: Omit<MemberThreadData, "steps">) {
		this.signal = this.#lost.signal;
		this.started = new Promise((resolve, reject) => {
			this.#onStarted = resolve;
			this.#onRefused = reject;
		});
		this.#thread = thread;
		this.#thread.ref();
		this.#thread.on("message", (event: MemberThreadEvent) => this.#receive(event));
		this.#thread.on("error", (cause) => this.#end(new MillraceError("internal", messageOf(cause), { cause })));
		this.#thread.on("exit", () => this.#end(givenUp()));
		this.#ask({ kind: "attend", data: { ...data, steps: this.#steps.buffer } });
	}

	collective(given: Given): Promise<Taken> {
		if (this.#closed || this.signal.aborted) {
			return Promise.reject(this.signal.aborted ? this.signal.reason : givenUp());
		}
		const id = ++this.#lastId;
		return new Promise((resolve, reject) => {
			this.#waiting.set(id, { resolve, reject });
			this.#ask({ kind: "collective", id, given });
		});
	}

	beginStep(step: StepBegin): void {
		this.#steps.begin(step);
	}

	endStep(): void {
		this.#steps.end();
	}

	async leave(reason: string): Promise<void> {
		if (!this.#closed) {
			const left = new Promise<void>((resolve) => {
				this.#onLeft = resolve;
			});
			this.#ask({ kind: "leave", reason });
			await left;
		}
		this.close();
	}

	close(): void {
		if (!this.#closed) {
			this.#closed = true;
			this.#rejectWaiting(givenUp());
			this.#ask({ kind: "close" });
			this.#thread.unref();
		}
	}

	#ask(request: MemberThreadRequest): void {
		this.#thread.postMessage(request);
	}

	#receive(event: MemberThreadEvent): void {
		switch (event.kind) {
			case "joined":
				this.trialRunId = event.trialRunId;
				break;
			case "started":
				this.trialRunId = event.trialRunId;
				this.peers = event.peers;
				this.#onStarted();
				break;
			case "ended":
				this.trialRunId = event.trialRunId;
				this.#onStarted(event.ended);
				break;
			case "refused":
				this.#onRefused(fromThreadError(event.error));
				break;
			case "taken":
				this.#settled(event.id)?.resolve(event.taken);
				break;
			case "failed":
				this.#settled(event.id)?.reject(fromThreadError(event.error));
				break;
			case "lost":
				this.#lose(fromThreadError(event.error));
				break;
			case "left":
				this.#onLeft();
		}
	}

	#settled(id: number): Waiting | undefined {
		const waiting = this.#waiting.get(id);
		this.#waiting.delete(id);
		return waiting;
	}

	/** The thread has ended: by itself, if this member was not closed. */
	#end(error: MillraceError): void {
		if (!this.#closed) {
			this.#closed = true;
			this.#onRefused(error);
			this.#lose(error);
		}
		this.#onLeft();
	}

	#lose(error: MillraceError): void {
		this.#rejectWaiting(error);
		this.#lost.abort(error);
	}

	#rejectWaiting(error: MillraceError): void {
		for (const { reject } of this.#waiting.values()) {
			reject(error);
		}
		this.#waiting.clear();
	}
}

function givenUp(): MillraceError {
	return new MillraceError("cancelled", "this worker has given up its place in the run");
}

function fromThreadError({ code, message }: ThreadError): MillraceError {
	const error = new MillraceError(code, message);
	// It has its cause in another process; a stack of this one would only hide the sentence.
	error.stack = `${error.name}: ${error.message}`;
	return error;
}
