import { availableParallelism } from "node:os";
import { type Command, Option } from "commander";
import { MillraceError } from "../errors.js";
import { exitCodes } from "../exit-codes.js";
import { TrialRunState } from "../gen/millrace/v1/trial_pb.js";
import { graceMs } from "../grace.js";
import { lastRunState } from "../launcher/last-run-state.js";
import { launch } from "../launcher/launch.js";
import { LineKeeper } from "../launcher/line-keeper.js";
import { preemptRun } from "../launcher/preempt-run.js";
import { withLogsKept } from "../logs-kept.js";
import { watchParentPipe } from "../parent-pipe.js";
import { onStopSignals } from "../stop-signals.js";
import { addExample } from "./example.js";
import { addNodeFlags, type NodeFlags, nodesOf } from "./node-flags.js";
import { seconds } from "./seconds.js";
import type { Terminal } from "./terminal.js";
import { watchNpx } from "./watch-npx.js";

/** How long the server may take to say how the run ended before its failure is reported, in milliseconds. */
const answerMs = 3_000;

interface LaunchFlags extends NodeFlags {
	nprocPerNode?: string;
	nproc_per_node?: string;
	grace?: number;
	failureGrace: number;
}

/** Adds `millrace launch`: it owns the workers of one node, as torchrun does. */
export function addLaunchCommand(program: Command, terminal: Terminal): void {
	const command = program
		.command("launch")
		.summary("start the workers of this node")
		.description("Start a command once for each worker of this node, with torchrun's environment names.")
		.usage("[options] -- COMMAND...")
		.argument("<command...>", "the program that each worker runs, and its arguments")
		.option("--nproc-per-node <number>", 'how many workers, or "auto" for one a core (default: MILLRACE_SLOTS, else 1)')
		.addOption(new Option("--nproc_per_node <number>").hideHelp());
	addNodeFlags(command)
		.option(
			"--grace <seconds>",
			"how long the workers may take to commit and end after SIGTERM (default: MILLRACE_GRACE, else 30)",
			seconds,
		)
		.option("--failure-grace <seconds>", "how long the other workers may go on after one failed", seconds, 5)
		.passThroughOptions()
		.action((words: string[], flags: LaunchFlags) => runLaunch(words, flags, terminal));
	addExample(command, "launch --nproc-per-node 2 -- npx tsx worker.ts");
}

async function runLaunch(command: string[], flags: LaunchFlags, terminal: Terminal): Promise<void> {
	const { nodeCount, nodeRank, env } = nodesOf(flags, process.env);
	const stopSignals = onStopSignals({ output: [process.stdout, process.stderr] });
	watchNpx(() => stopSignals.ask("SIGTERM"));
	const keeper = LineKeeper.forWorkers(env);
	const launched = await launch({
		command,
		workerCount: workerCount(flags.nprocPerNode ?? flags.nproc_per_node),
		nodeCount,
		nodeRank,
		graceMs: graceMs(flags.grace),
		askToStop: (signal) => preemptRun(signal, env),
		failureGraceMs: flags.failureGrace * 1_000,
		env: keeper === undefined ? env : withLogsKept(env),
		nextStep: env.MILLRACE_TRIAL_ID && !env.MILLRACE_PARENT_PIPE ? nextStep(env.MILLRACE_TRIAL_ID) : undefined,
		isCalledOff: () => isCalledOff(env),
		writeStdout: (text) => process.stdout.write(text),
		writeStderr: (text) => process.stderr.write(text),
		keepLine: keeper && ((line) => keeper.keep(line)),
	});
	let isOrphan = false;
	watchParentPipe(() => {
		isOrphan = true;
		launched.kill();
	});
	stopSignals.deliver((signal) => launched.interrupt(signal));
	const exitCode = await launched.finished;
	const lostLines = (await keeper?.close()) ?? 0;
	if (lostLines > 0) {
		const lines = lostLines === 1 ? "1 line" : `${lostLines} lines`;
		process.stderr.write(`millrace: the server did not take the last ${lines} of the log of the trial in time\n`);
	}
	if (isOrphan) {
		terminal.exitCode = exitCodes.parentLost;
	} else {
		const isPreempted = async () => (await lastRunState(env)) === TrialRunState.PREEMPTED;
		terminal.exitCode = exitCode === exitCodes.done && (await isPreempted()) ? exitCodes.preempted : exitCode;
	}
}

async function isCalledOff(env: NodeJS.ProcessEnv): Promise<boolean> {
	const state = await lastRunState(env, { retryMs: 0, signal: AbortSignal.timeout(answerMs) });
	return state === TrialRunState.PREEMPTED || state === TrialRunState.KILLED;
}

function nextStep(trialId: string): string {
	return `give the same command again; trial ${trialId} goes on after its last commits`;
}

function workerCount(flag: string | undefined): number {
	const [source, value] =
		flag === undefined ? ["MILLRACE_SLOTS", process.env.MILLRACE_SLOTS] : ["--nproc-per-node", flag];
	if (flag === undefined && !value) {
		return 1;
	}
	if (value === "auto" && flag !== undefined) {
		return availableParallelism();
	}
	if (!/^[1-9]\d{0,4}$/.test(value ?? "")) {
		throw new MillraceError(
			"invalid_argument",
			`${source} must be a positive integer, not "${value}"; give the number of workers`,
		);
	}
	return Number(value);
}
