// What a user's program may look like. It is only type-checked, against the packed package's declarations.
import {
	type AsyncList,
	type Checkpoint,
	type CheckpointState,
	Client,
	client,
	type ErrorCode,
	isMillraceError,
	type JsonObject,
	MillraceError,
	type Model,
	type ModelVersion,
	type Pending,
	type Trial,
	type TrialMetrics,
	type TrialOutput,
} from "millrace";
import {
	type BatchInfo,
	type BatchProcessOutcome,
	BatchProcessor,
	type BatchProcessorContext,
	batchProcess,
	type Dataset,
	DistributedContext,
	type InferenceModel,
	type MetricReducer,
	type ModelSource,
	type RunInfo,
	type Tensor,
	tensor,
} from "millrace/runtime";
import { type RunningServer, startServer } from "millrace/server";

const server: RunningServer = await startServer({ port: 0, dataDirectory: "data", log: () => {} });
const own = new Client({ server: server.address });

const model: Model = await own.createModel("digits", { labels: ["a"], existOk: true });
const pending: Pending<ModelVersion> = client.getModel("digits").getVersion(1);
const version: ModelVersion = await pending;
const newest: ModelVersion | null = await model.getVersion();
for await (const { metrics, endTime } of client.getModel("digits").getVersion(1).getMetrics<{ loss: number }>("a")) {
	metrics.loss.toFixed(endTime.getTime());
}
const list: AsyncList<TrialMetrics> = version.iterMetrics();
const reports: TrialMetrics[] = await list;
const checkpoint: Checkpoint = await client.uploadCheckpoint("model.onnx", { metadata: { a: [1, null] } });
const state: CheckpointState = checkpoint.state;
const trial: Trial = await client.getTrial(1);
const outputs: TrialOutput[] = await trial.listOutputs();

class Total implements MetricReducer<number> {
	#total = 0;
	reset(): void {
		this.#total = 0;
	}
	perSlotReduce(): number {
		return this.#total;
	}
	crossSlotReduce(perSlot: readonly number[]): JsonObject {
		return { total: perSlot.length };
	}
}

class Numbers implements Dataset<number[]> {
	readonly length = 2;
	get(i: number): number[] {
		return [i, i];
	}
}

class Doubler extends BatchProcessor<number[][]> {
	readonly model: InferenceModel;
	readonly total: Total;

	constructor(context: BatchProcessorContext) {
		super(context);
		const source: ModelSource = client.getCheckpoint(checkpoint.uuid);
		this.model = context.prepareModelForInference(source, { threads: 1 });
		this.total = context.wrapReducer(new Total(), { name: "total", group: "inference" });
	}

	override async setup(): Promise<void> {
		const info: RunInfo = this.context.info;
		await this.context.reportTaskUsingModelVersion(version);
		await this.context.distributed.allgather(info.trialId);
	}

	override async processBatch(batch: number[][], batchIdx: number, { signal }: BatchInfo): Promise<void> {
		const input: Tensor = tensor(batch.flat(), [batch.length, 2]);
		const { y } = await this.model.run({ x: input });
		signal.throwIfAborted();
		await this.context.reportMetrics("inference", batchIdx, { first: Number(y?.data[0]) });
		await this.context.uploadPath((directory) => directory.length);
	}

	override onFinish(results: JsonObject): void {
		results.total?.toString();
	}
}

const outcome: BatchProcessOutcome = await batchProcess(Doubler, new Numbers(), {
	batchSize: 2,
	distributed: DistributedContext.fromEnvironment(),
});
await batchProcess(Doubler, async () => new Numbers(), { dataLoader: { collate: (items) => [...items] } });

class Joined extends BatchProcessor<string> {
	override processBatch(batch: string): void {
		batch.toUpperCase();
	}
}
await batchProcess(Joined, [1, 2], { dataLoader: { collate: (items) => items.join() } });
// @ts-expect-error: without a collate the batches are arrays of records.
await batchProcess(Joined, [1, 2]);

// @ts-expect-error: the batch size is a number.
await batchProcess(Doubler, new Numbers(), { batchSize: "2" });
// @ts-expect-error: what a checkpoint says of itself cannot be changed here.
checkpoint.uuid = "another";
// @ts-expect-error: a query is a promise, not yet its properties.
client.getModel("digits").modelId.toFixed();

try {
	await server.close();
} catch (error) {
	const code: ErrorCode = isMillraceError(error, "not_found") ? error.code : "unknown";
	throw new MillraceError(code, `${outcome.status} ${state} ${newest?.name} ${outputs.length} ${reports.length}`);
}
