// A worker that calls batchProcess twice: first for one record, then for those of WORKER_OPTIONS. Writes what came of it.
import { BatchProcessor, batchProcess } from "../../../src/runtime/index.js";

const { records, failFirst = false } = JSON.parse(process.env.WORKER_OPTIONS ?? "{}");
let shallFail = failFirst;

class Reader extends BatchProcessor<number[]> {
	override async processBatch() {
		if (shallFail) {
			throw new Error("planted");
		}
	}
}

for (const length of [failFirst ? records : 1, records]) {
	const data = Array.from({ length }, (_, index) => index);
	const outcome = await batchProcess(Reader, data, { batchSize: 2 }).catch(({ code, message }) => ({ code, message }));
	process.stdout.write(`${JSON.stringify({ outcome })}\n`);
	shallFail = false;
}
