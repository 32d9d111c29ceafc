import { fstatSync } from "node:fs";

/**
 * Calls `onEnd` once when the process that started this one is gone, if that process promised to hold
 * our stdin open: MILLRACE_PARENT_PIPE is 1 and stdin is a pipe. Returns false, and does nothing, if it did
 * not. What is written to the pipe is thrown away. Watching does not keep this process alive.
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
	const { stdin } = process;
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
