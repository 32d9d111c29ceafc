// A worker whose records fail where it is told. WORKER_OPTIONS is its JSON.
import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import {
	type BatchInfo,
	type BatchProcessOptions,
	BatchProcessor,
	type BatchProcessorContext,
	batchProcess,
} from "../../../src/runtime/index.js";
import { Sum } from "./sum.js";

/** Which records fail. The options may name a file that holds it, so that the data can be mended. */
export interface BadRecords {
	/** In processBatch, after what stands before them in the batch was reported, reduced and written. */
	readonly process?: readonly number[];
	/** As `process`, but only in these attempts of a worker at the record, from 1. */
	readonly flaky?: Readonly<Record<number, readonly number[]>>;
	/** In processBatch, where an output is written: the storage is full. */
	readonly full?: readonly number[];
	readonly get?: readonly number[];
	readonly collate?: readonly number[];
}

export interface FailingWorkerOptions
	extends Omit<BatchProcessOptions<number, number[]>, "dataLoader" | "distributed" | "server"> {
	readonly records: number;
	readonly bad?: BadRecords | string;
	/** Where to throw: in this call of the n-th processor of this rank, both from 0. */
	readonly fail?: { readonly call: string; readonly processor: number; readonly rank: number };
	/** Where to SIGKILL itself: in the n-th attempt, from 1, at this record. */
	readonly kill?: { readonly record: number; readonly attempt: number; readonly run: number };
	/** The record at which to wait until the run ends, and to throw then. */
	readonly hold?: number;
	/** Where to call allgather. */
	readonly gather?: string;
}

const {
	records,
	bad: given,
	fail,
	kill,
	hold,
	gather,
	...options
} = JSON.parse(process.env.WORKER_OPTIONS ?? "{}") as FailingWorkerOptions;
const bad: BadRecords = (typeof given === "string" ? JSON.parse(readFileSync(given, "utf8")) : given) ?? {};
const attempts = new Map<number, number>();
let processors = 0;
const sums: WeakRef<Sum>[] = [];

class Failing extends BatchProcessor<number[]> {
	readonly #number = processors++;
	readonly #sum: Sum;
	readonly #hash: { update(value: number): void };
	#lines: string[] = [];

	constructor(context: BatchProcessorContext) {
		super(context);
		this.#sum = context.wrapReducer(new Sum(), { name: "sum" });
		sums.push(new WeakRef(this.#sum));
		// It tells another order, and a value that is missing or there twice.
		const hash = (values: readonly number[]) => values.reduce((h, value) => (h * 31 + value + 1) % 1_000_003, 7);
		this.#hash = context.wrapReducer(hash, { name: "hash" });
		this.#throwIfAt("constructor");
	}

	override async setup() {
		await this.#called("setup");
	}

	override async processBatch(batch: number[], batchIdx: number, { indices, signal }: BatchInfo) {
		say({ call: "processBatch", batchIdx, indices, processor: this.#number });
		if (gather === "processBatch") {
			await this.context.distributed.allgather(1);
		}
		let sum = 0;
		for (const value of batch) {
			this.#sum.add(value);
			this.#hash.update(value);
			this.#lines.push(`${value}\n`);
			sum += value;
			// Each value reported by itself, so that what failed leaves reports behind.
			await this.context.reportMetrics("inference", { [`value_${value}`]: value });
			await this.context.uploadPath((directory) => {
				if (bad.full?.includes(value)) {
					throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
				}
				writeFileSync(join(directory, `${value}.txt`), `${value}\n`);
			});
			const attempt = (attempts.get(value) ?? 0) + 1;
			attempts.set(value, attempt);
			if (kill?.record === value && kill.attempt === attempt && kill.run === this.context.info.trialRunId) {
				process.kill(process.pid, "SIGKILL");
			}
			if (hold === value) {
				await new Promise((resolve) => signal.addEventListener("abort", resolve));
			}
			if (bad.process?.includes(value) || bad.flaky?.[value]?.includes(attempt) || hold === value) {
				throw new Error(`cannot process ${value}`);
			}
		}
		this.context.reportMetrics("inference", { batch_sum: sum });
	}

	override async onCheckpointStart() {
		await this.#called("onCheckpointStart");
		await this.context.uploadPath((directory) => appendFileSync(join(directory, "values.log"), this.#lines.join("")));
		this.#lines = [];
	}

	override async onFinish(results: object) {
		await this.#called("onFinish", { results });
		await countKept();
	}

	async #called(call: string, detail: object = {}): Promise<void> {
		say({ call, processor: this.#number, ...detail });
		this.#throwIfAt(call);
		if (gather === call) {
			await this.context.distributed.allgather(1);
		}
	}

	#throwIfAt(call: string): void {
		const { rank } = this.context.distributed;
		if (fail?.call === call && fail.processor === this.#number && fail.rank === rank) {
			throw new Error(`planted in ${call}`);
		}
	}
}

/** Says the reducers of how many processors are still held in memory. */
async function countKept(): Promise<void> {
	setFlagsFromString("--expose-gc");
	// A WeakRef holds what it was made for until the task ends.
	await setImmediate();
	runInNewContext("gc")();
	say({ call: "kept", processor: sums.filter((ref) => ref.deref() !== undefined).length });
}

function say(line: object): void {
	process.stdout.write(`${JSON.stringify(line)}\n`);
}

const dataset = {
	length: records,
	get(i: number): number {
		if (bad.get?.includes(i)) {
			throw new Error(`cannot read ${i}`);
		}
		return i;
	},
};
function collate(items: readonly number[]): number[] {
	const found = items.find((item) => bad.collate?.includes(item));
	if (found !== undefined) {
		throw new Error(`cannot collate ${found}`);
	}
	return [...items];
}
const outcome = await batchProcess(Failing, dataset, { ...options, dataLoader: { collate } });
say({ outcome });
