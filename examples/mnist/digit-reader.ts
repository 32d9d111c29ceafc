import { appendFile } from "node:fs/promises";
import { join } from "node:path";
import { client, type ModelVersion } from "millrace";
import { BatchProcessor, type InferenceModel, type Tensor } from "millrace/runtime";
import { Accuracy } from "./accuracy.js";
import { type Digit, heldOut } from "./digits.js";

/** Reads digits: which one does each image show? */
export class DigitReader extends BatchProcessor<Digit[]> {
	#model!: InferenceModel;
	#accuracy = this.context.wrapReducer(new Accuracy(), { group: "inference" });
	#heldOut = this.context.wrapReducer(new Accuracy("held_out_"), { group: "inference" });
	#lines: string[] = [];

	override async setup() {
		this.#model = this.context.prepareModelForInference(await this.findModel());
	}

	/** The newest version of the model; a test, which has no registry, gives a path. */
	protected async findModel(): Promise<ModelVersion | string> {
		const { model } = this.context.getHparams<{ model: string }>();
		const version = await client.getModel(model).getVersion();
		if (version === null) {
			throw new Error(`${model} has no version yet: run register.ts first`);
		}
		// Whoever asks this version for its metrics finds those of this run.
		this.context.reportTaskUsingModelVersion(version);
		return version;
	}

	override async processBatch(digits: Digit[], _batchIdx: number, { indices }: { indices: readonly number[] }) {
		const images = this.context.toDevice(
			digits.map(({ pixels }) => pixels),
			{ dims: [digits.length, 1, 28, 28] },
		);
		const { logits } = await this.#model.run(images);
		let right = 0;
		for (const [i, predicted] of highest(logits as Tensor<"float32">).entries()) {
			const [index, label] = [indices[i] as number, digits[i]?.label];
			this.#accuracy.update(predicted === label);
			if (heldOut.has(index)) {
				this.#heldOut.update(predicted === label);
			}
			right += predicted === label ? 1 : 0;
			this.#lines.push(`${JSON.stringify({ index, predicted })}\n`);
		}
		this.context.reportMetrics("inference", { batch_accuracy: right / digits.length });
	}

	// What is not written here is not committed.
	override async onCheckpointStart() {
		await this.context.uploadPath((directory) =>
			appendFile(join(directory, "predictions.jsonl"), this.#lines.join("")),
		);
		this.#lines = [];
	}

	override async onFinish() {
		await this.context.reportMetrics("inference", { peak_memory_mb: process.resourceUsage().maxRSS / 1024 });
	}
}

/** The position of the highest of the ten numbers of each row. */
function highest({ data, dims: [rows = 0, width = 0] }: Tensor<"float32">): number[] {
	return Array.from({ length: rows }, (_, row) => {
		const scores = data.subarray(row * width, (row + 1) * width);
		return scores.indexOf(Math.max(...scores));
	});
}
