import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import type { Trial, TrialRun } from "../gen/millrace/v1/trial_pb.js";
import { TrialRunState, TrialState } from "../gen/millrace/v1/trial_pb.js";
import type { EndTrialRunResponse } from "../gen/millrace/v1/trial_service_pb.js";
import type { Connection } from "../sdk/connection.js";
import { given } from "./given.js";
import { RunLease, type RunLeaseEvents } from "./run-lease.js";

/** How long a run that was interrupted waits for a server that is away, in milliseconds. */
const awayMs = 5_000;

/** The runs of a trial that this process starts, as the server knows them. */
export class OwnedRuns {
	readonly trialId: number;
	readonly #connection: Connection;
	readonly #ownerUuid = randomUUID();
	/** The last one that was started. */
	#run: TrialRun | undefined;

	constructor(connection: Connection, trialId: number) {
		this.#connection = connection;
		this.trialId = trialId;
	}

	/** The last run that this process started, if it has started one. */
	get current(): TrialRun | undefined {
		return this.#run;
	}

	/**
	 * Starts the next run. Where a dead process's run is open, that takes as long as the server takes it for alive.
	 * If that run was to pause, the trial is paused with its end, and activated again: we are asked to go on.
	 * Once `stopped` is aborted, the answer is waited for 5 s: a run that was started is ours to end.
	 *
	 * Throws `failed_precondition` if another process runs the trial, or it permits no run.
	 */
	async start(worldSize: number, stopped: AbortSignal): Promise<TrialRun> {
		const request = {
			requestId: randomUUID(),
			trialId: this.trialId,
			worldSize,
			ownerHost: hostname(),
			ownerUuid: this.#ownerUuid,
			ownerPid: process.pid,
		};
		const { trials } = this.#connection;
		const patience = new AbortController();
		const { signal } = patience;
		let timer: NodeJS.Timeout | undefined;
		const onStopped = () => {
			timer = setTimeout(() => patience.abort(), awayMs);
		};
		stopped.addEventListener("abort", onStopped);
		const start = async () => given((await trials.startTrialRun(request, { signal })).trialRun);
		const goOn = async (error: unknown) => {
			stopped.throwIfAborted();
			const { trial } = await trials.getTrial({ trialId: this.trialId }, { signal });
			const isResumed = this.#run === undefined && given(trial).trialRunId > 0;
			if (!isResumed || trial?.state !== TrialState.PAUSED) {
				throw error;
			}
			await trials.activateTrial({ trialId: this.trialId }, { signal });
			return start();
		};
		try {
			this.#run = await start().catch(goOn);
			return this.#run;
		} finally {
			clearTimeout(timer);
			stopped.removeEventListener("abort", onStopped);
		}
	}

	/** Makes the token for the workers of the current run; undefined where the server has no accounts. */
	async createWorkerToken(): Promise<string | undefined> {
		const { auth, server } = this.#connection;
		if (!(await server.getServerInfo({})).hasAccounts) {
			return undefined;
		}
		const { trialId, trialRunId } = given(this.#run);
		return (await auth.createWorkerToken({ requestId: randomUUID(), trialId, trialRunId })).secret;
	}

	/** Keeps the current run ours, until what this returns is closed. */
	keep(events: RunLeaseEvents): RunLease {
		return new RunLease(this.#connection, given(this.#run), this.#ownerUuid, events);
	}

	/**
	 * Tells the server that nothing is left of the current run; one that is open has failed.
	 *
	 * @param isPatient Whether a server that is away is waited for as usual, or just for 5 s.
	 */
	async end(reason: string, isPatient: boolean): Promise<EndTrialRunResponse> {
		const { trialRunId } = given(this.#run);
		const request = { trialId: this.trialId, trialRunId, state: TrialRunState.FAILED, reason };
		return this.#connection.trials.endTrialRun(request, isPatient ? {} : { retryMs: awayMs });
	}

	/** Asks for the trial to be paused, if its last run is ours. Returns whether that was done, within about 5 s. */
	async pause(): Promise<boolean> {
		const { trials } = this.#connection;
		try {
			const { trial } = await trials.getTrial({ trialId: this.trialId }, { retryMs: awayMs });
			if (!this.isLast(given(trial))) {
				return false;
			}
			await trials.pauseTrial({ trialId: this.trialId }, { retryMs: awayMs });
			return true;
		} catch {
			return false;
		}
	}

	/** Tells whether no other process has started a run of the trial after our last one. */
	isLast({ trialRunId }: Trial): boolean {
		return trialRunId <= (this.#run?.trialRunId ?? 0);
	}

	/** Says whose a trial is now whose last run is not ours. */
	async whoseNow({ trialRunId }: Trial): Promise<string> {
		const { trialRun } = await this.#connection.trials.getTrialRun({ trialId: this.trialId, trialRunId });
		const by = trialRun?.ownerHost ? ` by ${trialRun.ownerHost} (pid ${trialRun.ownerPid})` : "";
		return `run ${trialRunId} of trial ${this.trialId} has been started meanwhile${by}`;
	}
}
