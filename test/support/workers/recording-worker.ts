// A worker whose every call is written to stdout, and that can be told to die. WORKER_OPTIONS is its JSON.
import { appendFileSync, existsSync } from "node:fs";
import { join } from "node:path";
import {
	type BatchProcessOptions,
	BatchProcessor,
	type BatchProcessorContext,
	batchProcess,
} from "../../../src/runtime/index.js";
import { waitUntil } from "../wait-until.js";
import { Sum } from "./sum.js";

/** The count-th call of this name, on this rank and in this run. */
interface Place {
	readonly call: string;
	readonly count: number;
	readonly rank: number;
	readonly run: number;
}

interface WorkerOptions extends Omit<BatchProcessOptions<number, number[]>, "dataLoader" | "distributed"> {
	readonly records: number;
	/** Where to SIGKILL itself. */
	readonly kill?: Place;
	/** Where to block its thread for a minute. */
	readonly block?: Place;
	/** A record whose loading never ends. */
	readonly stuckRecord?: number;
	/** Where to throw. */
	readonly fail?: Place;
	/** Where to exit with code 0. */
	readonly exit?: Place;
	/** Where to take all the memory that there is. */
	readonly hoard?: Place;
	/** Where to wait until the file exists. */
	readonly hold?: Place & { readonly file: string };
}

const { records, stuckRecord, kill, block, fail, exit, hoard, hold, ...options } = JSON.parse(
	process.env.WORKER_OPTIONS ?? "{}",
) as WorkerOptions;

class Recorder extends BatchProcessor<number[]> {
	readonly #sum: Sum;
	readonly #order: { update(value: number): void };
	readonly #counts = new Map<string, number>();
	#lines: string[] = [];

	constructor(context: BatchProcessorContext) {
		super(context);
		this.#sum = context.wrapReducer(new Sum(), { name: "sum" });
		const isOrdered = (values: readonly number[]) => values.every((value, i) => value === i);
		this.#order = context.wrapReducer((values: readonly number[]) => (isOrdered(values) ? values.length : -1), {
			name: "in_order",
			group: "inference",
		});
	}

	override async setup() {
		await this.#called("setup");
	}

	override async processBatch(batch: number[], batchIdx: number, { indices }: { indices: readonly number[] }) {
		await this.#called("processBatch", { batchIdx, indices });
		for (const value of batch) {
			this.#sum.add(value);
			this.#order.update(value);
			this.#lines.push(`${value}\n`);
		}
		this.context.reportMetrics("inference", { batch_sum: batch.reduce((a, b) => a + b, 0) });
	}

	override async onCheckpointStart() {
		await this.#called("onCheckpointStart");
		await this.context.uploadPath((directory) => appendFileSync(join(directory, "values.txt"), this.#lines.join("")));
		this.#lines = [];
	}

	override async onFinish(results: object) {
		await this.#called("onFinish", { results });
	}

	async #called(call: string, detail: object = {}): Promise<void> {
		const count = (this.#counts.get(call) ?? 0) + 1;
		this.#counts.set(call, count);
		const { rank } = this.context.distributed;
		const run = this.context.info.trialRunId;
		process.stdout.write(`${JSON.stringify({ call, count, rank, run, ...detail })}\n`);
		const isAt = (place: Place | undefined) =>
			place?.call === call && place.count === count && place.rank === rank && place.run === run;
		if (isAt(kill)) {
			process.kill(process.pid, "SIGKILL");
		}
		if (isAt(block)) {
			Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60_000);
		}
		if (isAt(fail)) {
			throw new Error(`planted in ${call}`);
		}
		if (isAt(exit)) {
			process.exit(0);
		}
		for (const hoarded: number[][] = []; isAt(hoard); ) {
			hoarded.push(new Array(100_000).fill(hoarded.length));
		}
		if (isAt(hold)) {
			await waitUntil(`the file ${hold?.file}`, () => existsSync(hold?.file ?? ""));
		}
	}
}

const outcome = await batchProcess(
	Recorder,
	{ length: records, get: (i: number): number | Promise<number> => (i === stuckRecord ? new Promise(() => {}) : i) },
	options,
);
process.stdout.write(`${JSON.stringify({ outcome })}\n`);
