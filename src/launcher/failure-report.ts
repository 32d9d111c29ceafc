import { describeExitCode } from "./process-end.js";
import type { ProcessEnd } from "./process-group.js";

/** A worker that ended well before another failed. */
export interface EarlierEnd {
	readonly time: Date;
	readonly rank: number;
	readonly code: number | null;
}

/** The first worker that failed. */
export interface WorkerFailure {
	/** When it was observed. */
	readonly time: Date;
	readonly host: string;
	readonly rank: number;
	readonly localRank: number;
	readonly pid: number;
	readonly end: ProcessEnd;
	/** The last lines that it wrote, to stdout or stderr. */
	readonly lastLines: readonly string[];
	/** Which workers had ended by then, though the others were still at work. */
	readonly earlierEnds: readonly EarlierEnd[];
}

/** Returns the box that tells of a failure, as torchrun's does: several lines, the last one ended too. */
export function formatFailure(command: readonly string[], failure: WorkerFailure): string {
	const { end } = failure;
	const lines = [
		"=".repeat(60),
		`${command.join(" ")} FAILED`,
		"-".repeat(60),
		"Root cause (first observed failure):",
		`  time      : ${failure.time.toISOString()}`,
		`  host      : ${failure.host}`,
		`  rank      : ${failure.rank} (local_rank: ${failure.localRank})`,
		`  pid       : ${failure.pid}`,
		end.signal === null ? `  exit code : ${describeExitCode(end.code)}` : `  signal    : ${end.signal}`,
		...(failure.lastLines.length === 0 ? ["  It wrote nothing."] : ["  last lines:"]),
		...failure.lastLines.map((line) => `    ${line}`),
		...failure.earlierEnds.map(
			({ rank, code, time }) =>
				`  rank ${rank} exited with code ${code} at ${time.toISOString()}, before the run was done`,
		),
		"=".repeat(60),
	];
	return `${lines.join("\n")}\n`;
}
