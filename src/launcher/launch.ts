import { hostname } from "node:os";
import { exitCodes, signalExitCode } from "../exit-codes.js";
import { explainEnd, findOwnEnd, memoryLimit, oomKillCount } from "./explain-end.js";
import { type EarlierEnd, formatFailure, isVictim, rootCause, type WorkerFailure } from "./failure-report.js";
import { createLinePrefixer } from "./line-prefixer.js";
import { exitCodeOf, isFailure } from "./process-end.js";
import { type ProcessEnd, ProcessGroup } from "./process-group.js";
import { WorkerWatch } from "./worker-watch.js";

/** What `launch` starts, and how it ends it. */
export interface LaunchOptions {
	/** The program and its arguments. */
	readonly command: readonly string[];
	/** How many times to start it on this node; the same on each node. */
	readonly workerCount: number;
	/** How many nodes take part. */
	readonly nodeCount: number;
	/** Which of the nodes this is, from 0. */
	readonly nodeRank: number;
	/** How long the workers may take to commit and end after the first signal, in milliseconds. */
	readonly graceMs: number;
	/**
	 * Asks for the workers to stop at their next commit. Returns whether they learn of it without a signal. Default:
	 * they do not.
	 */
	readonly askToStop?: (signal: NodeJS.Signals) => Promise<boolean>;
	/** How long the others may go on after one failed, and again after SIGTERM, in milliseconds. */
	readonly failureGraceMs: number;
	/** The environment that the workers get besides their ranks. */
	readonly env: NodeJS.ProcessEnv;
	/** What the user may do after a failure, for its report. Default: whoever runs us says it. */
	readonly nextStep?: string | undefined;
	/** Tells whether the run was preempted or killed, so that its end is no failure. Default: it was not. */
	readonly isCalledOff?: () => Promise<boolean>;
	/** Takes what the workers write to stdout, in whole prefixed lines. */
	readonly writeStdout: (text: string) => void;
	/** Takes what the workers write to stderr, in whole prefixed lines, and the report of a failure. */
	readonly writeStderr: (text: string) => void;
	/** Takes each of these lines without its prefix. Default: nobody does. */
	readonly keepLine?: ((line: PrintedLine) => void) | undefined;
}

/** A line that was printed. */
export interface PrintedLine {
	/** The worker; undefined for a line of the report of a failure. */
	readonly rank: number | undefined;
	readonly stream: "stdout" | "stderr";
	readonly text: string;
}

/** The workers of one node, running. */
export interface Launch {
	/**
	 * Resolves when no process of any worker is left, with the exit code that sums up: 0 if all exited 0, 75
	 * if all exited 0 or 75, else that of the first failure.
	 */
	readonly finished: Promise<number>;
	/**
	 * Lets the workers stop at their next commit; where they cannot be asked for it, it passes a signal on to them as
	 * SIGTERM. They have the grace to end. The second call kills them.
	 */
	interrupt(signal: NodeJS.Signals): void;
	/** Kills the workers and all that they started. */
	kill(): void;
}

/** How many of the last lines of a failed worker are shown. */
const shownLines = 30;

/**
 * Starts the workers of this node with torchrun's environment: RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE,
 * GROUP_RANK and GROUP_WORLD_SIZE. Each is a process group of its own and watches a pipe to this process.
 * When one fails, the others are ended too.
 *
 * Throws invalid_argument, with nothing left running, if the program cannot be started.
 */
export async function launch(options: LaunchOptions): Promise<Launch> {
	const groups: ProcessGroup[] = [];
	const watches = Array.from({ length: options.workerCount }, () => new WorkerWatch());
	const oomKills = oomKillCount();
	try {
		for (let localRank = 0; localRank < options.workerCount; localRank++) {
			groups.push(await ProcessGroup.start(options.command, { env: workerEnvironment(localRank, options, watches) }));
		}
	} catch (error) {
		signalAll("SIGKILL");
		await Promise.all(groups.map((group) => group.gone()));
		closeWatches();
		throw error;
	}
	/** While true, what a worker leaves behind may go on: it was asked to end and has its grace. */
	let stopping = false;
	let isKilled = false;
	let interruptedBy: NodeJS.Signals | undefined;
	const seen: WorkerFailure[] = [];
	let failedByItself = false;
	const goodEnds: EarlierEnd[] = [];
	let timer: NodeJS.Timeout | undefined;

	function closeWatches(): void {
		for (const watch of watches) {
			watch.close();
		}
	}

	function signalAll(signal: NodeJS.Signals): void {
		for (const group of groups) {
			group.signal(signal);
		}
	}

	function allow(graceMs: number): void {
		stopping = true;
		clearTimeout(timer);
		timer = setTimeout(kill, graceMs);
	}

	function stop(graceMs: number): void {
		signalAll("SIGTERM");
		allow(graceMs);
	}

	async function askToStop(signal: NodeJS.Signals): Promise<void> {
		if (!(await options.askToStop?.(signal))) {
			signalAll("SIGTERM");
		}
	}

	function kill(): void {
		stopping = false;
		isKilled = true;
		clearTimeout(timer);
		signalAll("SIGKILL");
	}

	async function supervise(group: ProcessGroup, localRank: number): Promise<ProcessEnd> {
		const rank = rankOf(localRank, options);
		const output = passOn(group, rank, options);
		const watch = watches[localRank] as WorkerWatch;
		watch.start(group.pid);
		const end = await group.ended;
		const time = new Date();
		if (!stopping) {
			// A helper that outlives its worker has no owner any more.
			group.signal("SIGKILL");
		}
		if (isFailure(end)) {
			const { lastLines } = output;
			const { pid, peakBytes, batch, isAborted = false } = watch.look();
			const worker = { host: hostname(), rank, localRank, pid, peakBytes, batch, isAborted };
			const isOurDoing = stopping || isKilled;
			const earlierEnds = [...goodEnds];
			seen.push({ time, ...worker, end, isOurDoing, lastLines, earlierEnds });
			if (seen.length === 1) {
				failedByItself = interruptedBy === undefined;
				if (!stopping) {
					timer = setTimeout(stop, options.failureGraceMs, options.failureGraceMs);
				}
			}
		}
		if (!isFailure(end)) {
			goodEnds.push({ time, rank, code: end.code });
		}
		await group.gone();
		await group.drained();
		output.end();
		return end;
	}

	async function finish(): Promise<number> {
		const killOnExit = () => {
			signalAll("SIGKILL");
			closeWatches();
		};
		process.once("exit", killOnExit);
		const ends = await Promise.all(groups.map(supervise));
		process.off("exit", killOnExit);
		clearTimeout(timer);
		closeWatches();
		const failures = seen.map((failure) => ({
			...failure,
			// Its last lines may have come after its end.
			isAborted: failure.isAborted || findOwnEnd(failure.end, failure.lastLines)?.isAborted === true,
		}));
		const root = rootCause(failures);
		if (root === undefined) {
			return ends.some((end) => end.code === exitCodes.preempted) ? exitCodes.preempted : exitCodes.done;
		}
		if (interruptedBy !== undefined && !failedByItself) {
			return root.end.signal === null ? exitCodeOf(root.end) : signalExitCode(interruptedBy);
		}
		if (failures.every(isVictim) && (await options.isCalledOff?.())) {
			return exitCodeOf(root.end);
		}
		const explanation = explainEnd(root.end, root.lastLines, {
			wasOomKill: oomKillCount() > oomKills,
			peakBytes: watches.reduce((sum, watch) => sum + watch.look().peakBytes, 0),
			limitBytes: memoryLimit(),
		});
		const report = formatFailure(options.command, root, { explanation, nextStep: options.nextStep });
		options.writeStderr(report);
		for (const text of report.trimEnd().split("\n")) {
			options.keepLine?.({ rank: undefined, stream: "stderr", text });
		}
		return exitCodeOf(root.end);
	}

	return {
		finished: finish(),
		interrupt(signal) {
			if (interruptedBy === undefined) {
				interruptedBy = signal;
				allow(options.graceMs);
				void askToStop(signal);
			} else {
				kill();
			}
		},
		kill,
	};
}

function rankOf(localRank: number, { nodeRank, workerCount }: LaunchOptions): number {
	return nodeRank * workerCount + localRank;
}

function workerEnvironment(
	localRank: number,
	options: LaunchOptions,
	watches: readonly WorkerWatch[],
): NodeJS.ProcessEnv {
	const { env, workerCount, nodeCount, nodeRank } = options;
	return {
		...env,
		RANK: String(rankOf(localRank, options)),
		WORLD_SIZE: String(nodeCount * workerCount),
		LOCAL_RANK: String(localRank),
		LOCAL_WORLD_SIZE: String(workerCount),
		GROUP_RANK: String(nodeRank),
		GROUP_WORLD_SIZE: String(nodeCount),
		MILLRACE_STATUS_FILE: watches[localRank]?.path,
	};
}

function passOn(group: ProcessGroup, rank: number, options: LaunchOptions) {
	const lastLines: string[] = [];
	const keep = (stream: PrintedLine["stream"]) => (text: string) => {
		options.keepLine?.({ rank, stream, text });
		lastLines.push(text);
		if (lastLines.length > shownLines) {
			lastLines.shift();
		}
	};
	const stdout = createLinePrefixer(`[rank=${rank}] `, options.writeStdout, keep("stdout"));
	const stderr = createLinePrefixer(`[rank=${rank}] `, options.writeStderr, keep("stderr"));
	group.stdout.on("data", stdout.push);
	group.stderr.on("data", stderr.push);
	return {
		lastLines,
		end() {
			stdout.end();
			stderr.end();
		},
	};
}
