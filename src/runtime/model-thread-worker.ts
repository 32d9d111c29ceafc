import { Worker } from "node:worker_threads";
import type { ModelThreadData } from "./model-thread.js";
import { createNativeCallGuard, holdExit } from "./native-call-guard.js";

/**
 * Starts the thread of a model: model-thread.js beside the built file, or model-thread.ts in the source tree.
 * The process does not exit during a call into ONNX Runtime.
 */
export function startModelThread(data: Omit<ModelThreadData, "guard">): Worker {
	const guard = createNativeCallGuard();
	// The parent's --import and --require are for the user's script; in the thread they would only cost time.
	const thread = new Worker(entry(), { workerData: { ...data, guard }, execArgv: [] });
	thread.once("exit", holdExit(guard));
	return thread;
}

function entry(): URL {
	if (!import.meta.url.endsWith(".ts")) return new URL("./model-thread.js", import.meta.url);
	// tsx does not register itself in worker threads, neither inherited nor by --import.
	const register = `import { register } from ${JSON.stringify(import.meta.resolve("tsx/esm/api"))}; register();`;
	const load = `await import(${JSON.stringify(new URL("./model-thread.ts", import.meta.url).href)});`;
	return new URL(`data:text/javascript,${encodeURIComponent(register + load)}`);
}
