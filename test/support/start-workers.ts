import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { nodeWithTsx } from "./node-with-tsx.js";

/** One call of a recording worker, or its outcome. */
export interface WorkerLine {
	readonly call?: string;
	readonly count?: number;
	readonly rank?: number;
	readonly run?: number;
	readonly processor?: number;
	readonly batchIdx?: number;
	readonly indices?: number[];
	readonly results?: Record<string, unknown>;
	readonly outcome?: { status: string; trialId: number; trialRunId: number };
}

/** How a worker ended. */
export interface WorkerEnd {
	readonly code: number | null;
	readonly signal: NodeJS.Signals | null;
	readonly lines: WorkerLine[];
	readonly stderr: string;
}

/** A worker process. */
export interface Worker {
	readonly process: ChildProcess;
	/** Settles when the process has ended and all its output is read. */
	readonly ended: Promise<WorkerEnd>;
	/** Resolves with the first line that fits. */
	line(fits: (line: WorkerLine) => boolean): Promise<WorkerLine>;
}

/** Starts a worker once for each rank, as torchrun would on one node. */
export function startWorkers(setup: {
	/** The address of the server, for all workers or for each rank. */
	readonly server: string | ((rank: number) => string);
	readonly world: number;
	readonly trialId?: number;
	/** Flags of Node. */
	readonly nodeFlags?: string;
	/** The worker in `workers/`; default the recording worker. */
	readonly worker?: string;
	/** The WORKER_OPTIONS of all workers, or of each rank. */
	readonly options: object | ((rank: number) => object);
}): Worker[] {
	return Array.from({ length: setup.world }, (_, rank) =>
		startWorker(setup.worker ?? "recording-worker.ts", {
			...process.env,
			// Their output is read here. Each would need a thread to keep it.
			MILLRACE_LOGS_KEPT: "1",
			MILLRACE_SERVER: typeof setup.server === "function" ? setup.server(rank) : setup.server,
			...(setup.trialId === undefined ? {} : { MILLRACE_TRIAL_ID: String(setup.trialId) }),
			...(setup.nodeFlags === undefined ? {} : { NODE_OPTIONS: setup.nodeFlags }),
			RANK: String(rank),
			WORLD_SIZE: String(setup.world),
			LOCAL_RANK: String(rank),
			LOCAL_WORLD_SIZE: String(setup.world),
			WORKER_OPTIONS: JSON.stringify(typeof setup.options === "function" ? setup.options(rank) : setup.options),
		}),
	);
}

function startWorker(worker: string, env: NodeJS.ProcessEnv): Worker {
	const [node, ...args] = nodeWithTsx;
	const script = fileURLToPath(new URL(`workers/${worker}`, import.meta.url));
	const child = spawn(node, [...args, script], { env, stdio: ["ignore", "pipe", "pipe"] });
	const lines: WorkerLine[] = [];
	const listeners = new Set<(line: WorkerLine) => void>();
	createInterface(child.stdout).on("line", (text) => {
		const line = JSON.parse(text) as WorkerLine;
		lines.push(line);
		for (const listener of listeners) {
			listener(line);
		}
	});
	let stderr = "";
	child.stderr.on("data", (chunk) => {
		stderr += chunk;
	});
	const ended = new Promise<WorkerEnd>((resolve) =>
		child.once("close", (code, signal) => resolve({ code, signal, lines, stderr })),
	);
	return {
		process: child,
		ended,
		line: (fits) =>
			new Promise((resolve, reject) => {
				const seen = lines.find(fits);
				if (seen !== undefined) {
					resolve(seen);
					return;
				}
				const listener = (line: WorkerLine) => {
					if (fits(line)) {
						listeners.delete(listener);
						resolve(line);
					}
				};
				listeners.add(listener);
				void ended.then(() => reject(new Error(`the worker ended before the line came: ${stderr}`)));
			}),
	};
}
