import { openSync, writeSync } from "node:fs";
import type { StepBegin } from "../rendezvous/client.js";
import { encodeWorkerStatus } from "../worker-status.js";

/** Who is told what a worker is at. */
export interface WorkerStatusSink {
	/** Notes that a batch is being processed, or with undefined that a commit follows: none is in flight then. */
	setBatch(batch: StepBegin | undefined): void;
	/** Notes that the worker ends because its run has ended. */
	setAborted(): void;
}

/**
 * The file in which this process says what it is at, for a launcher that gave it one in MILLRACE_STATUS_FILE: after a
 * SIGKILL nobody else can tell. A file that cannot be written is done without.
 */
class WorkerStatusFile implements WorkerStatusSink {
	#file: number | undefined;
	#path = process.env.MILLRACE_STATUS_FILE;
	#batch: StepBegin | undefined;

	setBatch(batch: StepBegin | undefined): void {
		this.#batch = batch;
		this.#write(false);
	}

	setAborted(): void {
		this.#write(true);
	}

	#write(isAborted: boolean): void {
		if (!this.#path) {
			return;
		}
		try {
			this.#file ??= openSync(this.#path, "w");
			const peakBytes = process.resourceUsage().maxRSS * 1024;
			writeSync(this.#file, encodeWorkerStatus({ pid: process.pid, peakBytes, batch: this.#batch, isAborted }), 0);
		} catch {
			this.#path = undefined;
		}
	}
}

/** This process's. */
export const workerStatusFile = new WorkerStatusFile();
