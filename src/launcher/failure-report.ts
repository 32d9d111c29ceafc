import type { WorkerStatus } from "../worker-status.js";
import { describeExitCode } from "./process-end.js";
import type { ProcessEnd } from "./process-group.js";

/** A worker that ended well before another failed. */
export interface EarlierEnd {
	readonly time: Date;
	readonly rank: number;
	readonly code: number | null;
}

/** What is said of a failure besides the facts. */
export interface FailureAdvice {
	/** What probably ended the worker, in a sentence. */
	readonly explanation?: string | undefined;
	/** What the user may do now. Default: somebody else says that. */
	readonly nextStep?: string | undefined;
}

/** A worker that failed. */
export interface WorkerFailure {
	/** When it was observed. */
	readonly time: Date;
	readonly host: string;
	readonly rank: number;
	readonly localRank: number;
	readonly pid: number;
	readonly end: ProcessEnd;
	/** The most memory that it held, in bytes; 0 if it is not known. */
	readonly peakBytes: number;
	/** The batch that it was processing, if it was: index, first record, and the record after the last. */
	readonly batch?: WorkerStatus["batch"];
	/** Whether it ended because the run had ended. */
	readonly isAborted: boolean;
	/** Whether we ended it. */
	readonly isOurDoing: boolean;
	/** The last lines that it wrote, to stdout or stderr. */
	readonly lastLines: readonly string[];
	/** Which workers had ended by then, though the others were still at work. */
	readonly earlierEnds: readonly EarlierEnd[];
}

/**
 * Returns the box that tells of a failure, as torchrun's does: several lines, the last one ended too.
 */
export function formatFailure(command: readonly string[], failure: WorkerFailure, advice: FailureAdvice = {}): string {
	const { end } = failure;
	const { explanation, nextStep } = advice;
	const isCause = !isVictim(failure);
	const early = failure.earlierEnds.map(
		({ rank, code, time }) =>
			`  rank ${rank} exited with code ${code} at ${time.toISOString()}, before the run was done`,
	);
	const isCausedEarly = !isCause && early.length > 0;
	const lines = [
		"=".repeat(60),
		`${command.join(" ")} FAILED`,
		"-".repeat(60),
		...(isCausedEarly ? ["Root cause:", ...early] : []),
		isCause ? "Root cause (first observed failure):" : "First failure seen:",
		`  time      : ${failure.time.toISOString()}`,
		`  host      : ${failure.host}`,
		`  rank      : ${failure.rank} (local_rank: ${failure.localRank})`,
		`  pid       : ${failure.pid}`,
		end.signal === null ? `  exit code : ${describeExitCode(end.code)}` : `  signal    : ${end.signal}`,
		...(failure.peakBytes === 0 ? [] : [`  memory    : ${Math.ceil(failure.peakBytes / 2 ** 20)} MiB at its peak`]),
		...(failure.batch === undefined ? [] : [`  in flight : ${batchText(failure.batch)}`]),
		...(explanation === undefined ? [] : [`  ${explanation}`]),
		...(failure.isAborted && !isCausedEarly
			? ["  It ended because the run had: another process, maybe on another host, is the cause."]
			: []),
		...(failure.lastLines.length === 0 ? ["  It wrote nothing."] : ["  last lines:"]),
		...failure.lastLines.map((line) => `    ${line}`),
		...(isCause ? early : []),
		...(nextStep === undefined ? [] : [`  next      : ${nextStep}`]),
		"=".repeat(60),
	];
	return `${lines.join("\n")}\n`;
}

/** Returns the failure that led to the others: the first that was neither ours nor the run's end. */
export function rootCause(failures: readonly WorkerFailure[]): WorkerFailure | undefined {
	return failures.find((failure) => !isVictim(failure)) ?? failures[0];
}

/** Tells whether something else ended a worker: the end of its run, or we. */
export function isVictim({ isAborted, isOurDoing }: WorkerFailure): boolean {
	return isAborted || isOurDoing;
}

function batchText({ step, first, end }: NonNullable<WorkerStatus["batch"]>): string {
	return `${end - first === 1 ? `record ${first}` : `records ${first} to ${end - 1}`} (batch ${step})`;
}
