import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { testBatchProcess } from "millrace/testing";
import { DigitReader } from "./digit-reader.js";
import { readDigits } from "./digits.js";

/** Has the model from its file instead of the registry. */
class TestedDigitReader extends DigitReader {
	protected override async findModel() {
		return fileURLToPath(new URL("mnist-cnn.onnx", import.meta.url));
	}
}

describe("DigitReader", { timeout: 240_000 }, () => {
	it("reads digits with two workers, and writes each prediction once", async () => {
		// They are sorted: of every 500th there are twenty, of all kinds.
		const digits = readDigits().filter((_, index) => index % 500 === 0);
		const { trial, calls, metrics, output } = await testBatchProcess(TestedDigitReader, digits, {
			worldSize: 2,
			batchSize: 5,
		});

		assert.equal(trial.state, "COMPLETED");
		const batches = calls.map((own) => own.filter(({ call }) => call === "processBatch").length);
		assert.deepEqual(batches, [2, 2]);

		const lines = [0, 1].flatMap((rank) => output("predictions.jsonl", rank).toString().trim().split("\n"));
		const predictions = lines.map((line) => JSON.parse(line) as { index: number; predicted: number });
		const inOrder = predictions.toSorted((a, b) => a.index - b.index);
		assert.deepEqual(
			inOrder.map(({ index }) => index),
			digits.map((_, index) => index),
		);
		const right = inOrder.filter(({ index, predicted }) => digits[index]?.label === predicted).length;
		assert.ok(right >= 18, `${right} of 20 were right`);
		const total = metrics("inference").find((report) => "accuracy" in report.metrics);
		assert.equal(total?.metrics.accuracy, right / 20);
	});
});
