import { readFile } from "node:fs/promises";
import { MillraceError } from "../errors.js";
import type { JsonObject } from "../sdk/json.js";
import type { Trial } from "../sdk/trial.js";
import type { TrialError } from "../sdk/trial-errors.js";
import type { TrialMetrics } from "../sdk/trial-metrics.js";
import type { ProcessorCall } from "./recorded-processor.js";

/** What came of testBatchProcess. All of it was read before the server went away. */
export interface BatchProcessTest {
	/** The trial, as it was at its end. Of its methods, those that ask the server fail: it is gone. */
	readonly trial: Trial;
	/** For each rank, what was called of its processor, in order. */
	readonly calls: readonly (readonly ProcessorCall[])[];
	/** With onError "skip": the records that failed and were left out, in their order. */
	readonly errors: readonly TrialError[];
	/**
	 * Returns what was reported, in the order of the steps and of the ranks within a step.
	 *
	 * @param group Only this metric group. Default: all.
	 */
	metrics<M extends JsonObject = JsonObject>(group?: string): TrialMetrics<M>[];
	/**
	 * Returns the content of an output file, by its path below what `uploadPath` gave, such as "answers.csv". What
	 * several processors of one rank have written under the path, as with onError "skip", follows each other.
	 *
	 * Throws `not_found` if nobody has written it, naming what was written; `invalid_argument` if several ranks have
	 * and none is named.
	 *
	 * @param rank The rank that wrote it. Default: the only one that did.
	 */
	output(path: string, rank?: number): Buffer;
}

interface Output {
	readonly path: string;
	readonly rank: number;
	readonly content: Buffer;
}

/** Reads all that a trial has left. `directory` is for the files meanwhile. */
export async function readResult(
	trial: Trial,
	calls: readonly (readonly ProcessorCall[])[],
	directory: string,
): Promise<BatchProcessTest> {
	const order = ({ stepsCompleted, rank = -1 }: TrialMetrics) => [stepsCompleted ?? -1, rank] as const;
	const reports = (await trial.getMetrics()).sort((a, b) => {
		const [step, rank] = order(a);
		const [otherStep, otherRank] = order(b);
		return step - otherStep || rank - otherRank;
	});
	const errors = await trial.listErrors();
	const outputs = await readOutputs(trial, directory);
	return {
		trial,
		calls,
		errors,
		metrics: <M extends JsonObject>(group?: string) =>
			reports.filter((report) => group === undefined || report.group === group) as TrialMetrics<M>[],
		output: (path, rank) => findOutput(outputs, path, rank),
	};
}

async function readOutputs(trial: Trial, directory: string): Promise<Output[]> {
	const listed = await trial.listOutputs();
	const copies = await trial.downloadOutputs(directory);
	return Promise.all(
		listed.map(async ({ path, rank }, index) => ({
			// The first part of the path is the directory of the processor that wrote it.
			path: path.slice(path.indexOf("/") + 1),
			rank,
			content: await readFile(copies[index] as string),
		})),
	);
}

function findOutput(outputs: readonly Output[], path: string, rank: number | undefined): Buffer {
	const ofPath = outputs.filter((output) => output.path === path);
	const found = ofPath.filter((output) => rank === undefined || output.rank === rank);
	if (found.length === 0) {
		const written = [...new Set(outputs.map((output) => `${output.path} (rank ${output.rank})`))];
		const which = rank === undefined ? "" : ` by rank ${rank}`;
		const list = written.length === 0 ? "no output" : written.join(", ");
		throw new MillraceError("not_found", `the output ${path} was not written${which}; there is ${list}`);
	}
	const ranks = [...new Set(found.map((output) => output.rank))];
	if (ranks.length > 1) {
		const advice = `name one, as in output(${JSON.stringify(path)}, ${ranks[0]})`;
		throw new MillraceError(
			"invalid_argument",
			`the output ${path} was written by the ranks ${ranks.join(", ")}; ${advice}`,
		);
	}
	return Buffer.concat(found.map(({ content }) => content));
}
