import { Worker } from "node:worker_threads";
import { threadEntry } from "../thread-entry.js";
import type { ModelThreadData } from "./model-thread.js";
import { createNativeCallGuard, holdExit } from "./native-call-guard.js";

/**
 * Starts the thread of a model: model-thread.js beside the built file, or model-thread.ts in the source tree.
 * The process does not exit during a call into ONNX Runtime.
 */
export function startModelThread(data: Omit<ModelThreadData, "guard">): Worker {
	const guard = createNativeCallGuard();
	// The parent's --import and --require are for the user's script; in the thread they would only cost time.
	const thread = new Worker(threadEntry("model-thread", import.meta.url), {
		workerData: { ...data, guard },
		execArgv: [],
	});
	thread.once("exit", holdExit(guard));
	return thread;
}
