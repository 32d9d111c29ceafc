// The worker of all rounds, on the built package: doubles the values of a data set whose sums are known.
import { appendFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { BatchProcessor, batchProcess } from "millrace/runtime";
import { at, note, setProgress } from "./fault-points.js";

const { data, badRecords, writes, files, usesModel, gathers, legs } = JSON.parse(
	readFileSync(join(process.env.CHAOS_DIRECTORY ?? "", "plan.json"), "utf8"),
);
const modelFile = fileURLToPath(new URL("../support/fixtures/double.onnx", import.meta.url));

/** Adds up whole numbers, so that the result does not depend on how the records were divided. */
class Sum {
	#sum = 0;
	add(value) {
		this.#sum += value;
	}
	reset() {
		this.#sum = 0;
	}
	perSlotReduce() {
		return this.#sum;
	}
	crossSlotReduce(perSlot) {
		return perSlot.reduce((a, b) => a + b, 0);
	}
}

/** A digest that depends on the order of the values. */
function digest(values) {
	return values.reduce((hash, value) => (hash * 31 + value) % 1_000_003, values.length);
}

/** The same without a model. */
const doubling = { run: async ({ data }) => ({ y: { data: data.map((value) => 2 * value) } }) };

class Doubler extends BatchProcessor {
	#model = usesModel ? this.context.prepareModelForInference(modelFile, { threads: 1 }) : doubling;
	#sum = this.context.wrapReducer(new Sum(), { name: "sum" });
	#digest = this.context.wrapReducer(digest, { name: "digest", group: "digests" });
	#lines = "";
	#fileCount = 0;
	#commitCount = 0;

	setup() {
		at("setup");
	}

	async processBatch(batch, _batchIdx, { indices }) {
		setProgress((indices.at(-1) ?? 0) / data.records);
		at("batch");
		const bad = indices.find((index) => badRecords.includes(index));
		if (bad !== undefined) {
			throw new Error(`record ${bad} is bad`);
		}
		const rows = batch.map((value, i) => [value, indices[i]]);
		const { y } = await this.#model.run(this.context.toDevice(rows));
		let sum = 0;
		for (const [i, index] of indices.entries()) {
			const [value, doubledIndex] = [y.data[2 * i], y.data[2 * i + 1]];
			if (doubledIndex !== 2 * index) {
				throw new Error(`the model gave ${doubledIndex} for record ${index}`);
			}
			this.#sum.add(value);
			this.#digest.update(value);
			this.#lines += `${index} ${value}\n`;
			sum += value;
		}
		this.context.reportMetrics("inference", { indices, sum });
		if (writes === "batch") {
			await this.#write();
		}
	}

	async onCheckpointStart() {
		at("checkpoint-start");
		await this.#write();
		this.#commitCount++;
		if (gathers) {
			const { rank, size } = this.context.distributed;
			const all = await this.context.distributed.allgather([rank, this.#commitCount]);
			const expected = Array.from({ length: size }, (_, other) => [other, this.#commitCount]);
			if (JSON.stringify(all) !== JSON.stringify(expected)) {
				note({ what: "wrong-gather", text: `${JSON.stringify(all)} instead of ${JSON.stringify(expected)}` });
			}
		}
	}

	async onFinish(results) {
		at("on-finish");
		const { rank, size } = this.context.distributed;
		this.context.reportMetrics("finish", { rank, size, results });
		await this.context.uploadPath((directory) =>
			appendFileSync(join(directory, "finish.json"), JSON.stringify(results)),
		);
	}

	async #write() {
		if (this.#lines === "") {
			return;
		}
		const name = files === "growing" ? "values.txt" : `values-${this.#fileCount++}.txt`;
		const lines = this.#lines;
		this.#lines = "";
		await this.context.uploadPath((directory) => appendFileSync(join(directory, name), lines));
	}
}

const dataset = {
	length: data.records,
	get: (index) => (index * data.factor + data.offset) % data.modulus,
};
const leg = legs[Math.min(Number(process.env.CHAOS_LEG), legs.length - 1)];
const options = leg.options[Number(process.env.MILLRACE_TRIAL_RUN_ID ?? 0) % leg.options.length];
const server = JSON.parse(process.env.CHAOS_PROXIES ?? "[]")[Number(process.env.RANK)];
try {
	const outcome = await batchProcess(Doubler, dataset, {
		...options,
		...(badRecords.length > 0 ? { onError: "skip" } : {}),
		...(server === undefined ? {} : { server }),
	});
	note({ what: "outcome", text: outcome.status });
} catch (error) {
	note({ what: "error", text: String(error?.message ?? error) });
	throw error;
}
