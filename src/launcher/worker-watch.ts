import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decodeWorkerStatus, type WorkerStatus } from "../worker-status.js";

/** How often it is looked how much memory a worker holds, in milliseconds. */
const lookMs = 1_000;

/** Watches one worker from outside, so that there is something to tell if it is killed. */
export class WorkerWatch {
	/** Where the worker leaves its status. */
	readonly path: string;
	readonly #directory = mkdtempSync(join(tmpdir(), "millrace-launch-"));
	#timer: NodeJS.Timeout | undefined;
	#peakBytes = 0;
	#pid = 0;

	constructor() {
		this.path = join(this.#directory, "status");
	}

	/** Looks from now on at the memory of the process, and of the worker where that is a wrapper around it. */
	start(pid: number): void {
		this.#pid = pid;
		this.#timer = setInterval(() => this.#look(), lookMs);
		this.#timer.unref();
	}

	/** Returns what is known of the worker. */
	look(): WorkerStatus {
		const status = this.#read();
		this.#peakBytes = Math.max(this.#peakBytes, status?.peakBytes ?? 0);
		return { pid: this.#pid, ...status, peakBytes: this.#peakBytes };
	}

	/** Ends the watch, and removes the file. */
	close(): void {
		clearInterval(this.#timer);
		rmSync(this.#directory, { recursive: true, force: true });
	}

	#look(): void {
		const pids = new Set([this.#pid, this.#read()?.pid ?? this.#pid]);
		this.#peakBytes = Math.max(this.#peakBytes, ...[...pids].map(peakBytesOf));
	}

	#read(): WorkerStatus | undefined {
		try {
			return decodeWorkerStatus(readFileSync(this.path, "utf8"));
		} catch {
			return undefined;
		}
	}
}

/** Returns the most memory that a process has held, in bytes; 0 where the system does not tell. */
function peakBytesOf(pid: number): number {
	try {
		return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1] ?? 0) * 1024;
	} catch {
		return 0;
	}
}
