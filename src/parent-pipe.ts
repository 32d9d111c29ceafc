import { fstatSync } from "node:fs";
import { Socket } from "node:net";
import { isMainThread } from "node:worker_threads";

/**
 * Calls `onEnd` once when the process that started this one is gone, if that process promised to hold
 * our stdin open: MILLRACE_PARENT_PIPE is 1 and stdin is a pipe. Returns false, and does nothing, if it did
 * not. What is written to the pipe is thrown away. Watching does not keep this process alive. A worker thread that
 * watches notices also while the main thread is blocked.
 */
export function watchParentPipe(onEnd: () => void): boolean {
	if (process.env.MILLRACE_PARENT_PIPE !== "1" || !stdinIsPipe()) {
		return false;
	}
	let ended = false;
	const end = () => {
		if (!ended) {
			ended = true;
			onEnd();
		}
	};
	// A worker's own process.stdin is fed by the main thread.
	const stdin = isMainThread ? process.stdin : new Socket({ fd: 0, readable: true, writable: false });
	stdin.on("end", end).on("close", end).on("error", end);
	stdin.resume();
	stdin.unref();
	return true;
}

function stdinIsPipe(): boolean {
	try {
		const stdin = fstatSync(0);
		return stdin.isFIFO() || stdin.isSocket();
	} catch {
		return false;
	}
}
