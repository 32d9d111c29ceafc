// A worker in plain JavaScript, on the built package: doubles numbers, and reads back what it reported.
import { fileURLToPath } from "node:url";
import { client } from "millrace";
import { BatchProcessor, batchProcess } from "millrace/runtime";

class Doubler extends BatchProcessor {
	model = this.context.prepareModelForInference(fileURLToPath(new URL("../fixtures/double.onnx", import.meta.url)));

	async processBatch(batch) {
		const { y } = await this.model.run(this.context.toDevice(batch));
		this.context.reportMetrics("inference", { doubled: [...y.data] });
	}
}

const { status, trialId } = await batchProcess(
	Doubler,
	[
		[1, 2],
		[3, 4],
		[5, 6],
	],
	{ batchSize: 2 },
);
const reports = await client.getTrial(trialId).getMetrics("inference");
const doubled = reports.flatMap(({ metrics }) => metrics.doubled);
process.stdout.write(JSON.stringify({ node: process.versions.node, status, doubled }));
