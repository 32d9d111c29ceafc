import { setTimeout as delay } from "node:timers/promises";
import { messageOf } from "../errors.js";
import { exitCodes, signalExitCode } from "../exit-codes.js";
import { type Trial, TrialRunDecision, TrialState } from "../gen/millrace/v1/trial_pb.js";
import type { EndTrialRunResponse } from "../gen/millrace/v1/trial_service_pb.js";
import type { Connection } from "../sdk/connection.js";
import type { TlsOptions } from "../sdk/tls-options.js";
import { sayAwaitedOwner } from "./awaited-owner.js";
import { EmbeddedServerKeeper } from "./embedded-server-keeper.js";
import { endLeftovers } from "./end-leftovers.js";
import { type Entrypoint, startEntrypoint } from "./entrypoint.js";
import { given } from "./given.js";
import { judgeRun } from "./judge-run.js";
import { createTrial, resumeTrial } from "./open-trial.js";
import { OwnedRuns } from "./owned-runs.js";
import { describeEnd } from "./process-end.js";
import type { ProcessEnd, ProcessGroup } from "./process-group.js";
import { ProgressDisplay } from "./progress-display.js";
import { count } from "./progress-line.js";
import { resumeCommand } from "./resume-command.js";
import { StatusLine } from "./status-line.js";
import { stopsByItself } from "./stops-by-itself.js";

/** What `runTrial` runs, and where. */
export interface RunTrialOptions extends Entrypoint {
	/** The server that remembers it. */
	readonly connection: Connection;
	/** The experiment's YAML file, as the user named it. */
	readonly configPath: string;
	/** The address of the server, if the user named it; only then is it part of the command that goes on. */
	readonly server?: string | undefined;
	/** How TLS is spoken to it, if the user said so to this command; then too. */
	readonly tls?: TlsOptions | undefined;
	/** The trial to go on with. Default: a new one. */
	readonly trialId?: number | undefined;
	/** Whether the records that failed are to be processed again first. Default false. */
	readonly retryErrors?: boolean | undefined;
}

/** A trial whose runs this process starts. */
export interface OwnedTrial {
	/** Resolves with the exit code that says how the trial ended. */
	readonly finished: Promise<number>;
	/**
	 * Pauses the trial: its workers stop at their next commit, and no other run is started. After the grace, or at
	 * the second call, the run is killed.
	 */
	interrupt(signal: NodeJS.Signals): void;
	/** Kills the run; no other is started, and the trial is paused. */
	kill(): void;
}

/**
 * Records an experiment with one trial, or goes on with one, and starts run after run of it until the server says
 * that it is done, has failed for good, was preempted or was killed. All that it says itself goes to stderr: also,
 * if the trial can go on, the command for it.
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
	readonly #startMs = Date.now();
	/** Aborted when no other run is to be started. */
	readonly #stopped = new AbortController();
	#interruptedBy: NodeJS.Signals | undefined;
	/** Why we end without a verdict, though nobody interrupted us. */
	#lost: { readonly why: string; readonly isTaken: boolean } | undefined;
	#runs: OwnedRuns | undefined;
	#group: ProcessGroup | undefined;
	#killTimer: NodeJS.Timeout | undefined;

	constructor(options: RunTrialOptions) {
		this.#options = options;
		this.#status = new StatusLine(options.stderr);
	}

	async run(): Promise<number> {
		const killOnExit = () => this.#group?.signal("SIGKILL");
		process.once("exit", killOnExit);
		const { connection, dataDirectory } = this.#options;
		const keeper = new EmbeddedServerKeeper({
			directory: dataDirectory,
			address: connection.address,
			say: (line) => this.#say(line),
			onMoved: (why) => this.#lose(why, false),
		});
		try {
			const trial = await this.#openTrial();
			if (trial.state === TrialState.COMPLETED) {
				const work = trial.recordsTotal === 0n ? "" : `: ${count(Number(trial.recordsDone))} records`;
				this.#say(`${nameOf(trial)} was completed before${work}`);
				return exitCodes.done;
			}
			this.#runs = new OwnedRuns(connection, trial.id);
			return await this.#runUntilDecided(this.#runs);
		} finally {
			keeper.close();
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
		this.#stopped.abort();
		const seconds = Math.round(this.#options.graceMs / 1_000);
		this.#say(`ending (${signal}), the workers have ${seconds} s to commit; again to kill them`);
		this.#killTimer = setTimeout(() => this.kill(), this.#options.graceMs);
		void this.#askToStop();
	}

	kill(): void {
		this.#interruptedBy ??= "SIGTERM";
		this.#stopped.abort();
		clearTimeout(this.#killTimer);
		this.#group?.signal("SIGKILL");
	}

	async #openTrial(): Promise<Trial> {
		const { connection, config, configPath, trialId, retryErrors = false } = this.#options;
		const info = await connection.server.getServerInfo({});
		const warn = (text: string) => this.#say(`warning: ${configPath}: ${text}`);
		const trial =
			trialId === undefined
				? await createTrial(connection, config)
				: await resumeTrial(connection, trialId, config, { retryErrors, warn });
		this.#say(`${nameOf(trial)}, server ${connection.address}, data ${info.dataDirectory}`);
		return trial;
	}

	/** Starts run after run, and returns the exit code. */
	async #runUntilDecided(runs: OwnedRuns): Promise<number> {
		const { connection, config } = this.#options;
		const display = new ProgressDisplay(connection, runs.trialId, this.#status, (line) => this.#say(line));
		try {
			for (let restart = 0; !this.#stopped.signal.aborted; restart++) {
				const started = new AbortController();
				void sayAwaitedOwner(connection, runs.trialId, (line) => this.#say(line), started.signal);
				const run = await runs
					.start(config.resources.slots_per_trial, this.#stopped.signal)
					.finally(() => started.abort());
				if (this.#stopped.signal.aborted) {
					return await this.#endUnused(runs);
				}
				display.startRun(run.trialRunId);
				const end = await this.#execute(runs);
				const answer = await this.#endRun(runs, end);
				await display.endRun();
				const exitCode = (await this.#conclude(runs, answer, end)) ?? (await this.#wait(runs, answer, end, restart));
				if (exitCode !== undefined) {
					return exitCode;
				}
			}
		} catch (error) {
			// What was under way when we were told to stop has failed for that.
			if (!this.#stopped.signal.aborted) {
				throw error;
			}
		} finally {
			display.close();
		}
		await runs.pause();
		return this.#giveUp();
	}

	/** Runs the entrypoint until nothing is left of it, and keeps the run ours meanwhile. */
	async #execute(runs: OwnedRuns): Promise<ProcessEnd> {
		const { address } = this.#options.connection;
		const place = { run: given(runs.current), address, token: await runs.createWorkerToken() };
		const group = await startEntrypoint(place, this.#options, this.#status);
		this.#group = group;
		let callOff = () => {};
		const lease = runs.keep({
			onLost: ({ message }) => this.#lose(message, true),
			onFailed: () => {
				callOff = endLeftovers(group, () => this.#say("the run is over, but its entrypoint goes on; ending it"));
			},
		});
		try {
			if (this.#stopped.signal.aborted) {
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
		} finally {
			lease.close();
			callOff();
		}
	}

	/** Ends a run that was started while we were told to stop, and returns the exit code. */
	async #endUnused(runs: OwnedRuns): Promise<number> {
		const end = { code: signalExitCode(this.#interruptedBy ?? "SIGTERM"), signal: null };
		return (await this.#conclude(runs, await this.#endRun(runs, end), end)) ?? this.#giveUp();
	}

	/** Tells the server that the run has ended; undefined if it cannot be told, or the run is not ours to end. */
	async #endRun(runs: OwnedRuns, end: ProcessEnd): Promise<EndTrialRunResponse | undefined> {
		const by = this.#interruptedBy;
		if (this.#lost !== undefined) {
			return undefined;
		}
		if (by === undefined) {
			return runs.end(`the entrypoint ended with ${describeEnd(end)} before the work was done`, true);
		}
		await runs.pause();
		try {
			return await runs.end(`millrace run was ended by ${by}`, false);
		} catch (error) {
			this.#say(`the server was not told that the run of trial ${runs.trialId} has ended: ${messageOf(error)}`);
			return undefined;
		}
	}

	/** Says what follows from the end of a run, and returns the exit code, or undefined if another run follows. */
	async #conclude(
		runs: OwnedRuns,
		answer: EndTrialRunResponse | undefined,
		end: ProcessEnd,
	): Promise<number | undefined> {
		if (answer === undefined) {
			return this.#giveUp();
		}
		const trial = given(answer.trial);
		if (!runs.isLast(trial) && answer.decision !== TrialRunDecision.DONE) {
			this.#lose(await runs.whoseNow(trial), true);
			return this.#giveUp();
		}
		const seconds = (Date.now() - this.#startMs) / 1_000;
		const word = judgeRun(answer, { end, interruptedBy: this.#interruptedBy, place: this.#options, seconds });
		if (word === undefined) {
			return undefined;
		}
		this.#say(word.line);
		if (word.canGoOn) {
			this.#sayHowToGoOn();
		}
		return word.exitCode;
	}

	/**
	 * Waits before the next run: not at all before the first restart, then 1 s, doubling to 30 s. Returns the exit code
	 * if no run follows after all.
	 */
	async #wait(
		runs: OwnedRuns,
		answer: EndTrialRunResponse | undefined,
		end: ProcessEnd,
		restart: number,
	): Promise<number | undefined> {
		const trial = given(answer?.trial);
		const run = given(answer?.trialRun);
		const seconds = restart === 0 ? 0 : Math.min(2 ** (restart - 1), 30);
		const when = seconds === 0 ? "" : ` in ${seconds} s`;
		this.#say(
			`trial ${trial.id}, run ${run.trialRunId} failed: ${run.reason}; starting run ${run.trialRunId + 1}${when} ` +
				`(restart ${trial.restarts} of ${trial.maxRestarts})`,
		);
		await delay(seconds * 1_000, undefined, { signal: this.#stopped.signal }).catch(() => {});
		// Meanwhile somebody may have paused or killed the trial.
		return this.#conclude(runs, await this.#endRun(runs, end), end);
	}

	/** Lets the workers stop at their next commit, by a signal only where they do not learn of it from the server. */
	async #askToStop(): Promise<void> {
		const run = this.#runs?.current;
		const isAsked = run !== undefined && (await this.#runs?.pause()) === true;
		if (!isAsked || !(await stopsByItself(this.#options.connection, run))) {
			this.#group?.signal("SIGTERM");
		}
	}

	/** Ends what we started. `isTaken` says that another process has the trial now. */
	#lose(why: string, isTaken: boolean): void {
		this.#lost ??= { why, isTaken };
		this.#stopped.abort();
		this.#group?.signal("SIGKILL");
	}

	/** Says why we stop without a verdict, and returns the exit code. */
	#giveUp(): number {
		if (this.#lost !== undefined) {
			this.#say(`ending: ${this.#lost.isTaken ? "the trial is not ours any more: " : ""}${this.#lost.why}`);
		}
		// Whoever has taken the trial goes on with it.
		if (!this.#lost?.isTaken) {
			this.#sayHowToGoOn();
		}
		return this.#lost !== undefined ? exitCodes.failed : signalExitCode(this.#interruptedBy ?? "SIGTERM");
	}

	#sayHowToGoOn(): void {
		const { configPath, dataDirectory, server, tls } = this.#options;
		const { trialId } = given(this.#runs);
		this.#say(`to go on: ${resumeCommand({ trialId, configPath, dataDirectory, server, tls })}`);
	}

	#say(line: string): void {
		this.#status.passThrough(this.#options.stderr, `millrace: ${line}\n`);
	}
}

function nameOf(trial: Trial): string {
	return `experiment ${trial.experimentId}, trial ${trial.id}`;
}
