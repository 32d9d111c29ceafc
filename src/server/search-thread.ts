import { parentPort } from "node:worker_threads";

/** Asks which of some texts one of some regular expressions is found in. */
export interface SearchRequest {
	readonly patterns: readonly string[];
	readonly flags: string;
	readonly texts: readonly string[];
}

if (parentPort === null) throw new Error("search-thread is the entry of a worker thread");
const port = parentPort;

port.on("message", ({ patterns, flags, texts }: SearchRequest) => {
	const expressions = patterns.map((pattern) => new RegExp(pattern, flags));
	port.postMessage(texts.map((text) => expressions.some((expression) => expression.test(text))));
});
port.postMessage("ready");
