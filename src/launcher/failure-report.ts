import type { ProcessEnd } from "./process-group.js";

/** The first worker that failed. */
export interface WorkerFailure {
	/** When it was observed. */
	readonly time: Date;
	readonly host: string;
	readonly rank: number;
	readonly pid: number;
	readonly end: ProcessEnd;
	/** The last lines that it wrote, to stdout or stderr. */
	readonly lastLines: readonly string[];
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
		`  rank      : ${failure.rank} (local_rank: ${failure.rank})`,
		`  pid       : ${failure.pid}`,
		end.signal === null ? `  exit code : ${end.code}` : `  signal    : ${end.signal}`,
		...(failure.lastLines.length === 0 ? ["  It wrote nothing."] : ["  last lines:"]),
		...failure.lastLines.map((line) => `    ${line}`),
		"=".repeat(60),
	];
	return `${lines.join("\n")}\n`;
}
