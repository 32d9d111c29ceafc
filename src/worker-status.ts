/** What a worker leaves in its status file, for the launcher to tell of it should the worker die. */
export interface WorkerStatus {
	readonly pid: number;
	/** The most memory that the process has held, in bytes. */
	readonly peakBytes: number;
	/** The batch that is being processed: its index on this worker, its first record and the record after its last. */
	readonly batch?: { readonly step: number; readonly first: number; readonly end: number } | undefined;
	/** Whether it ends because its run has ended: the cause is another process then. */
	readonly isAborted?: boolean | undefined;
}

/** Every status has this length, so that one overwrites another whole. */
const length = 192;

/** Makes the content of a status file. */
export function encodeWorkerStatus(status: WorkerStatus): string {
	return `${JSON.stringify(status).padEnd(length - 1)}\n`;
}

/** Reads the content of a status file; undefined if there is none yet. */
export function decodeWorkerStatus(content: string): WorkerStatus | undefined {
	try {
		return JSON.parse(content) as WorkerStatus;
	} catch {
		return undefined;
	}
}
