import { parentPort } from "node:worker_threads";

/** Asks which of some texts a regular expression is found in. */
export interface SearchRequest {
	readonly pattern: string;
	readonly texts: readonly string[];
}

if (parentPort === null) throw new Error("search-thread is the entry of a worker thread");
const port = parentPort;

port.on("message", ({ pattern, texts }: SearchRequest) => {
	const expression = new RegExp(pattern, "i");
	port.postMessage(texts.map((text) => expression.test(text)));
});
port.postMessage("ready");
