// A worker that prints. WORKER_OPTIONS is its JSON.
import { setTimeout as delay } from "node:timers/promises";
import { BatchProcessor, batchProcess } from "../../../src/runtime/index.js";

export interface PrintingWorkerOptions {
	/** How many batches, and how many lines in each. */
	readonly batches: number;
	readonly lines: number;
	/** How long each batch takes besides, in milliseconds. */
	readonly batchMs?: number;
	/** How it ends in its last batch: by an error of its own, by one that nobody catches, or at once. */
	readonly end?: "throw" | "crash" | "exit";
}

const { batches, lines, batchMs = 0, end } = JSON.parse(process.env.WORKER_OPTIONS ?? "{}") as PrintingWorkerOptions;

class Printer extends BatchProcessor<number[]> {
	override setup() {
		process.stdout.write("WARNING: bytes ");
		process.stdout.write(Buffer.from("€\n").subarray(0, 2));
		process.stdout.write(Buffer.from("€\n").subarray(2));
		process.stderr.write("ZXJyb3I6IGJhc2U2NAo=", "base64");
	}

	override async processBatch(_batch: number[], batchIdx: number) {
		for (let i = 0; i < lines; i++) {
			console.log(`line ${batchIdx * lines + i}`);
		}
		await delay(batchMs);
		if (batchIdx === batches - 1 && end !== undefined) {
			process.stdout.write("the last words");
			if (end === "throw") {
				throw new Error("planted");
			}
			if (end === "exit") {
				process.exit(3);
			}
			setImmediate(() => {
				throw new Error("planted");
			});
			await delay(60_000);
		}
	}
}

const start = performance.now();
await batchProcess(
	Printer,
	Array.from({ length: batches }, (_, index) => index),
	{ checkpointInterval: 1_000 },
);
process.stderr.write(`took ${Math.round(performance.now() - start)} ms\n`);
