// What a user's program may look like. It is only type-checked, against the packed package's declarations.
import {
	type AsyncList,
	type Checkpoint,
	type CheckpointState,
	Client,
	type CreatedToken,
	client,
	type ErrorCode,
	isMillraceError,
	type JsonObject,
	MillraceError,
	type Model,
	type ModelVersion,
	type Pending,
	type Token,
	type Trial,
	type TrialMetrics,
	type TrialOutput,
	type User,
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
const user: User = await own.login({ username: "ada", password: "correct horse", server: "gpu-box:8090" });
await own.getUserByName(user.username).changePassword("battery staple", { oldPassword: "correct horse" });
const { secret, expireTime }: CreatedToken = await own.createToken({ expireTime: new Date() });
const tokens: Token[] = await own.listTokens({ userId: user.userId });
for await (const { subject, outcome } of own.listAuditLog()) {
	console.log(secret.length, expireTime?.getTime(), tokens.length, Object.keys(subject), outcome?.toUpperCase());
}
// @ts-expect-error: a login needs a name and a password.
await own.login({ server: "gpu-box:8090" });
// @ts-expect-error: a token ends at a time.
await own.createToken({ expireTime: "tomorrow" });
// @ts-expect-error: what a list tells of a token is not its secret.
tokens[0]?.secret.length.toFixed();

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
// The user's own objects are JSON, and what JSON would lose is refused when it is written.
await own.createModel("m", { metadata: { a: "text", b: [1, null, { c: true }] } });
// @ts-expect-error: a Date is not JSON.
await own.createModel("m", { metadata: { created: new Date() } });
// @ts-expect-error: a function is not JSON.
await own.createModel("m", { metadata: { compute: () => 1 } });
// @ts-expect-error: undefined is not JSON.
await own.createModel("m", { metadata: { absent: undefined } });
// @ts-expect-error: a bigint is not JSON.
await own.createModel("m", { metadata: { size: 1n } });
// @ts-expect-error: nor is it deeper down.
await model.registerVersion(checkpoint.uuid, { metadata: { list: [{ at: new Date() }] } });
// @ts-expect-error: nor is a Map.
await client.uploadCheckpoint("model.onnx", { metadata: { map: new Map() } });
// @ts-expect-error: hyperparameters are JSON.
await client.createTrial(1, { hparams: { lr: 1n } });
// @ts-expect-error: hyperparameters are JSON.
await client.createTrial(1, { hparams: { lr: () => 0.5 } });
// @ts-expect-error: a configuration is JSON.
await client.createExperiment({ name: "digits", started: new Date() });
declare const context: BatchProcessorContext;
// @ts-expect-error: metrics are JSON.
await context.reportMetrics("inference", { count: 1n });
// @ts-expect-error: metrics are JSON.
await context.reportMetrics("inference", 1, { at: new Date() });
// @ts-expect-error: metrics are JSON.
await context.reportMetrics("inference", { loss: undefined });
// @ts-expect-error: what is read is JSON, and has no methods before it is checked.
(await trial.getMetrics())[0]?.metrics.loss.toFixed();
// @ts-expect-error: a query is a promise, not yet its properties.
client.getModel("digits").modelId.toFixed();

try {
	await server.close();
} catch (error) {
	const code: ErrorCode = isMillraceError(error, "not_found") ? error.code : "unknown";
	throw new MillraceError(code, `${outcome.status} ${state} ${newest?.name} ${outputs.length} ${reports.length}`);
}
