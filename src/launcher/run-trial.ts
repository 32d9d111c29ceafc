import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { MillraceError, messageOf } from "../errors.js";
import { exitCodes, signalExitCode } from "../exit-codes.js";
import { type ExperimentConfig, environmentVariablesOf, hparamsOf } from "../experiment-config.js";
import type { Trial, TrialRun } from "../gen/millrace/v1/trial_pb.js";
import { TrialRunDecision, TrialRunState, TrialState } from "../gen/millrace/v1/trial_pb.js";
import type { EndTrialRunResponse } from "../gen/millrace/v1/trial_service_pb.js";
import type { Connection } from "../sdk/connection.js";
import { describeEnd, exitCodeOf } from "./process-end.js";
import { type ProcessEnd, ProcessGroup } from "./process-group.js";
import { ProgressDisplay } from "./progress-display.js";
import { count } from "./progress-line.js";
import { resumeCommand } from "./resume-command.js";
import { type OutputStream, StatusLine } from "./status-line.js";

/** How long an interrupted run waits for a server that is away, in milliseconds. */
const awayMs = 5_000;

/** What `runTrial` runs, and where. */
export interface RunTrialOptions {
	/** The server that remembers it. */
	readonly connection: Connection;
	readonly config: ExperimentConfig;
	/** The entrypoint's program and arguments. */
	readonly command: readonly string[];
	/** The working directory of the entrypoint. */
	readonly directory: string;
	/** The data directory that the workers use, as an absolute path. */
	readonly dataDirectory: string;
	/** The address of the server, if the user named it; only then is it part of the command that goes on. */
	readonly server?: string | undefined;
	/** How long the entrypoint may take to end after the first signal, in milliseconds. */
	readonly graceMs: number;
	readonly stdout: OutputStream;
	readonly stderr: OutputStream;
}

/** A trial whose runs this process starts. */
export interface OwnedTrial {
	/** Resolves with the exit code that says how the trial ended. */
	readonly finished: Promise<number>;
	/**
	 * Passes a signal on to the run as SIGTERM; no other run is started, and the trial is paused. The second
	 * call kills the run.
	 */
	interrupt(signal: NodeJS.Signals): void;
	/** Kills the run; no other is started, and the trial is paused. */
	kill(): void;
}

/**
 * Records an experiment with one trial, and starts run after run of it until the server says that it is
 * done, has failed for good, was preempted or was killed. All that it says itself goes to stderr: also, if the
 * trial can go on, the command for it.
 */
export function runTrial(options: RunTrialOptions): OwnedTrial {
	const owner = new TrialOwner(options);
	return {
		finished: owner.run(),
		interrupt: (signal) => owner.interrupt(signal),
		kill: () => owner.kill(),
	};
}

class TrialOwner {
	readonly #options: RunTrialOptions;
	readonly #status: StatusLine;
	readonly #interrupted = new AbortController();
	#interruptedBy: NodeJS.Signals | undefined;
	#group: ProcessGroup | undefined;
	#killTimer: NodeJS.Timeout | undefined;

	constructor(options: RunTrialOptions) {
		this.#options = options;
		this.#status = new StatusLine(options.stderr);
	}

	async run(): Promise<number> {
		const killOnExit = () => this.#group?.signal("SIGKILL");
		process.once("exit", killOnExit);
		const startMs = Date.now();
		const trial = await this.#createTrial();
		const { connection } = this.#options;
		const display = new ProgressDisplay(connection, trial.id, this.#status, (line) => this.#say(line));
		try {
			for (let restart = 0; this.#interruptedBy === undefined; restart++) {
				const run = await this.#startRun(trial.id);
				display.startRun(run.trialRunId);
				const end = await this.#execute(run);
				const answer = await this.#endRun(run, end);
				if (answer === undefined) {
					break;
				}
				await display.endRun();
				const exitCode = this.#judge(answer, end, startMs);
				if (exitCode !== undefined) {
					return exitCode;
				}
				await this.#wait(answer, restart);
				// Meanwhile somebody may have paused or killed the trial.
				const later = this.#interruptedBy === undefined ? await this.#endRun(run, end) : undefined;
				const laterCode = later && this.#judge(later, end, startMs);
				if (laterCode !== undefined) {
					return laterCode;
				}
			}
			await this.#pauseTrial(trial.id);
			this.#sayHowToGoOn(trial.id);
			return signalExitCode(this.#interruptedBy ?? "SIGTERM");
		} finally {
			display.close();
			clearTimeout(this.#killTimer);
			this.#group?.signal("SIGKILL");
			process.off("exit", killOnExit);
		}
	}

	interrupt(signal: NodeJS.Signals): void {
		if (this.#interruptedBy !== undefined) {
			this.kill();
			return;
		}
		this.#interruptedBy = signal;
		this.#interrupted.abort();
		const seconds = Math.round(this.#options.graceMs / 1_000);
		this.#say(`ending (${signal}), the workers have ${seconds} s; again to kill them`);
		this.#group?.signal("SIGTERM");
		this.#killTimer = setTimeout(() => this.kill(), this.#options.graceMs);
	}

	kill(): void {
		this.#interruptedBy ??= "SIGTERM";
		this.#interrupted.abort();
		clearTimeout(this.#killTimer);
		this.#group?.signal("SIGKILL");
	}

	async #createTrial(): Promise<Trial> {
		const { connection, config } = this.#options;
		const info = await connection.server.getServerInfo({});
		const { experiment } = await connection.experiments.createExperiment({ requestId: randomUUID(), config });
		const experimentId = given(experiment).id;
		const { trial } = await connection.trials.createTrial({
			requestId: randomUUID(),
			experimentId,
			hparams: hparamsOf(config),
			maxRestarts: config.max_restarts,
		});
		const { id } = given(trial);
		this.#say(`experiment ${experimentId}, trial ${id}, server ${connection.address}, data ${info.dataDirectory}`);
		return given(trial);
	}

	async #startRun(trialId: number): Promise<TrialRun> {
		const { trialRun } = await this.#options.connection.trials.startTrialRun({
			requestId: randomUUID(),
			trialId,
			worldSize: this.#options.config.resources.slots_per_trial,
			ownerHost: hostname(),
		});
		return given(trialRun);
	}

	/** Runs the entrypoint until nothing is left of it. */
	async #execute(run: TrialRun): Promise<ProcessEnd> {
		const { command, directory, stdout, stderr } = this.#options;
		const group = await ProcessGroup.start(command, { cwd: directory, env: this.#environment(run) });
		this.#group = group;
		group.stdout.on("data", (data: Uint8Array) => this.#status.passThrough(stdout, data));
		group.stderr.on("data", (data: Uint8Array) => this.#status.passThrough(stderr, data));
		if (this.#interruptedBy !== undefined) {
			group.signal("SIGTERM");
		}
		const end = await group.ended;
		if (this.#interruptedBy === undefined) {
			// What outlives the entrypoint has no owner. After a signal it has its grace.
			group.signal("SIGKILL");
		}
		await group.gone();
		await group.drained();
		return end;
	}

	#environment(run: TrialRun): NodeJS.ProcessEnv {
		const { connection, config, dataDirectory } = this.#options;
		return {
			...process.env,
			...environmentVariablesOf(config),
			MILLRACE_SERVER: connection.address,
			MILLRACE_DATA: dataDirectory,
			MILLRACE_TRIAL_ID: String(run.trialId),
			MILLRACE_TRIAL_RUN_ID: String(run.trialRunId),
			MILLRACE_SLOTS: String(config.resources.slots_per_trial),
		};
	}

	/** Tells the server that the run has ended; undefined if it was interrupted, and the server is away. */
	async #endRun(run: TrialRun, end: ProcessEnd): Promise<EndTrialRunResponse | undefined> {
		const by = this.#interruptedBy;
		const { trialId, trialRunId } = run;
		const { trials } = this.#options.connection;
		const state = TrialRunState.FAILED;
		if (by === undefined) {
			const reason = `the entrypoint ended with ${describeEnd(end)} before the work was done`;
			return trials.endTrialRun({ trialId, trialRunId, state, reason });
		}
		await this.#pauseTrial(trialId);
		const reason = `millrace run was ended by ${by}`;
		try {
			return await trials.endTrialRun({ trialId, trialRunId, state, reason }, { retryMs: awayMs });
		} catch (error) {
			this.#say(`the server was not told that run ${trialRunId} of trial ${trialId} has ended: ${messageOf(error)}`);
			return undefined;
		}
	}

	/** Lets the trial be resumable after the end of its run, as far as the server can be told. */
	async #pauseTrial(trialId: number): Promise<void> {
		// Whoever asked for the end does not want to wait long for a server that is away. The run's end follows.
		await this.#options.connection.trials.pauseTrial({ trialId }, { retryMs: awayMs }).catch(() => {});
	}

	/** Says how the run ended, and returns the exit code, or undefined if another run follows. */
	#judge(answer: EndTrialRunResponse, end: ProcessEnd, startMs: number): number | undefined {
		const trial = given(answer.trial);
		const run = given(answer.trialRun);
		const seconds = (Date.now() - startMs) / 1_000;
		const name = `experiment ${trial.experimentId}, trial ${trial.id}`;
		const done = count(Number(trial.recordsDone));
		const total = count(Number(trial.recordsTotal));
		const part = `${trial.recordsTotal === 0n ? "" : `${done} of ${total} records in `}${seconds.toFixed(1)} s`;
		switch (answer.decision) {
			case TrialRunDecision.DONE:
				this.#say(`${name} completed: ${done} records in ${seconds.toFixed(1)} s`);
				return exitCodes.done;
			case TrialRunDecision.PREEMPTED:
				if (this.#interruptedBy !== undefined && run.state === TrialRunState.FAILED) {
					// The trial is paused, but because we ended its run.
					break;
				}
				this.#say(`${name} was preempted after ${part}`);
				this.#sayHowToGoOn(trial.id);
				return exitCodes.preempted;
			case TrialRunDecision.KILLED:
			case TrialRunDecision.UNSPECIFIED:
				this.#say(`${name} was killed after ${part}: ${run.reason}`);
				return signalExitCode(this.#interruptedBy ?? "SIGKILL");
			case TrialRunDecision.RESTART:
			case TrialRunDecision.FAILED:
				break;
		}
		if (this.#interruptedBy !== undefined) {
			const isUsedUp = trial.state === TrialState.ERROR && run.joinedCount > 0;
			const state = isUsedUp ? `; ${whyNoRestart(trial, run)}` : "";
			this.#say(`${name} was interrupted after ${part}: ${run.reason}${state}`);
			this.#sayHowToGoOn(trial.id);
			return signalExitCode(this.#interruptedBy);
		}
		if (answer.decision === TrialRunDecision.RESTART) {
			return undefined;
		}
		if (trial.state === TrialState.PAUSED) {
			this.#say(`${name} was paused after ${part}: ${run.reason}`);
			this.#sayHowToGoOn(trial.id);
			return exitCodes.preempted;
		}
		this.#say(`${name} failed after ${part}: ${run.reason}; ${whyNoRestart(trial, run)}`);
		// Where nothing was done and no worker joined, the entrypoint must be mended, and nothing is lost.
		if (run.joinedCount > 0 || trial.recordsDone > 0n) {
			this.#sayHowToGoOn(trial.id);
		}
		return failureExitCode(run, end);
	}

	#sayHowToGoOn(trialId: number): void {
		const { config, directory, dataDirectory, server } = this.#options;
		if (config.entrypoint === undefined) {
			return;
		}
		const workerCount = config.resources.slots_per_trial;
		const { entrypoint } = config;
		const command = resumeCommand({ trialId, entrypoint, workerCount, directory, dataDirectory, server });
		const names = Object.keys(environmentVariablesOf(config));
		const first = names.length === 0 ? "" : `, with ${names.join(", ")} set as in the experiment's file`;
		this.#say(`to go on${first}: ${command}`);
	}

	/** Waits before the next run: not at all before the first restart, then 1 s, doubling to 30 s. */
	async #wait(answer: EndTrialRunResponse, restart: number): Promise<void> {
		const trial = given(answer.trial);
		const run = given(answer.trialRun);
		const seconds = restart === 0 ? 0 : Math.min(2 ** (restart - 1), 30);
		const when = seconds === 0 ? "" : ` in ${seconds} s`;
		this.#say(
			`trial ${trial.id}, run ${run.trialRunId} failed: ${run.reason}; starting run ${run.trialRunId + 1}${when} ` +
				`(restart ${trial.restarts} of ${trial.maxRestarts})`,
		);
		await delay(seconds * 1_000, undefined, { signal: this.#interrupted.signal }).catch(() => {});
	}

	#say(line: string): void {
		this.#status.passThrough(this.#options.stderr, `millrace: ${line}\n`);
	}
}

function whyNoRestart(trial: Trial, run: TrialRun): string {
	if (run.joinedCount === 0) {
		return "no worker joined the run, so it is not started again";
	}
	if (trial.maxRestarts === 0) {
		return "max_restarts is 0";
	}
	return trial.maxRestarts === 1 ? "its one restart is used up" : `all ${trial.maxRestarts} restarts are used up`;
}

function failureExitCode(run: TrialRun, end: ProcessEnd): number {
	const isUsage = end.code === exitCodes.usage || end.code === 126 || end.code === 127;
	if (isUsage && run.joinedCount === 0) {
		return exitCodes.usage;
	}
	const code = exitCodeOf(end);
	return code > 128 ? code : exitCodes.failed;
}

function given<T>(message: T | undefined): T {
	if (message === undefined) {
		throw new MillraceError("internal", "the server's answer lacks its main part; are its version and ours the same?");
	}
	return message;
}
