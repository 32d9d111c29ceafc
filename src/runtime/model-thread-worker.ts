import { Worker } from "node:worker_threads";
import type { ModelThreadData } from "./model-thread.js";

/** Starts the thread of a model: model-thread.js beside the built file, or model-thread.ts in the source tree. */
export function startModelThread(workerData: ModelThreadData): Worker {
	// The parent's --import and --require are for the user's script; in the thread they would only cost time.
	const options = { workerData, execArgv: [] };
	if (!import.meta.url.endsWith(".ts")) {
		return new Worker(new URL("./model-thread.js", import.meta.url), options);
	}
	// tsx does not register itself in worker threads, neither inherited nor by --import.
	const entry = new URL("./model-thread.ts", import.meta.url).href;
	const register = `import { register } from ${JSON.stringify(import.meta.resolve("tsx/esm/api"))};`;
	const source = `${register} register(); await import(${JSON.stringify(entry)});`;
	return new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), options);
}
