import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ErrorPolicy } from "../../src/gen/millrace/v1/progress_pb.js";
import { TrialRunState } from "../../src/gen/millrace/v1/trial_pb.js";
import { toMetricsJson } from "../../src/sdk/json.js";
import { MetricReporter } from "../../src/sdk/metric-reporter.js";
import { joinAlone } from "./join-alone.js";
import type { TestClient } from "./use-test-client.js";

/** What a world of the command has, besides what always has the same number. */
export interface CommandWorld {
	/** The checkpoint that both versions of the model "digits" are of. */
	readonly checkpointUuid: string;
}

const longText = "読みにくい手書きの数字を、二つのワーカーで読む実験。とても長い名前なので、狭い端末では切られる。";

/**
 * Fills an empty server with one of each, the same each time but for UUIDs and times: experiments 1 to 3, trials 1 to 4,
 * models 1 and 2, two versions of model 1.
 */
export async function makeCommandWorld({ client, connection }: TestClient, directory: string): Promise<CommandWorld> {
	const digits = await client.createExperiment({
		name: "digits",
		entrypoint: "npx tsx worker.ts",
		description: "reads 10,000 handwritten digits",
		labels: ["nightly", "mnist"],
		hyperparameters: { model: "mnist-cnn", lr: 0.5 },
		searcher: { name: "single", metric: "accuracy", smaller_is_better: false },
	});
	const wide = await client.createExperiment({
		name: longText,
		entrypoint: "true",
		labels: ["日本語", "a".repeat(60)],
	});
	const empty = await client.createExperiment({ name: "no trials", entrypoint: "true" });
	await empty.archive();

	const hparams = { model: "mnist-cnn", lr: 0.5, note: "with \u001b[31mred\u001b[0m and a\nline", many: [1, 2, 3] };
	const first = await client.createTrial(digits.id, { hparams, maxRestarts: 2 });
	const report = await startReporting(connection, first.id);
	for (const rank of [0, 1]) {
		for (let step = 1; step <= 40; step++) {
			const accuracy = Math.round((1 - 0.8 / Math.sqrt(step + rank)) * 1e6) / 1e6;
			await report("inference", step, { accuracy, seconds: step % 7, text: "x" }, rank);
		}
	}
	await report("validation", 40, { accuracy: 0.9, loss: Number.NaN, by_class: { zero: 0.99, one: 0.875 } });
	const { checkpoints } = connection;
	const { checkpoint } = await checkpoints.createCheckpoint({
		...{ trialId: first.id, trialRunId: 1, metadata: { steps_completed: 40, epoch: 3 } },
	});
	const files = [
		{ path: "weights", sizeBytes: 1_234_567n, sha256: "a".repeat(64) },
		{ path: "optimizer/state", sizeBytes: 999n, sha256: "b".repeat(64) },
	];
	await checkpoints.completeCheckpoint({ checkpointUuid: checkpoint?.uuid ?? "", files });
	await connection.trials.endTrialRun({ trialId: first.id, trialRunId: 1, state: TrialRunState.COMPLETED });

	const second = await client.createTrial(wide.id, { maxRestarts: 0 });
	const alone = await joinAlone(
		connection,
		second.id,
		{ onError: ErrorPolicy.SKIP },
		"00000000-0000-4000-8000-00000000abcd",
	);
	const { outputs } = await alone.writeOutputs({ "a.csv": "1,2\n".repeat(1_000), "sub/日本語.csv": "" });
	const { member } = alone;
	const failures = [
		{ record: 7n, error: "cannot read\n the record, and this is why: ".repeat(4), stack: "at 7" },
		{ record: 3n, error: "it is empty", stack: "at 3" },
	];
	await connection.progress.commit({ member, commitNumber: 1, step: 1, ranges: [{ first: 0n, end: 3n }], outputs });
	await connection.progress.commit({ member, commitNumber: 2, step: 2, failures });
	await alone.leave();
	const third = await client.createTrial(digits.id, { hparams: { lr: 0.25 } });
	const reportThird = await startReporting(connection, third.id);
	for (let step = 1; step <= 12; step++) {
		await reportThird("inference", step * 5, { accuracy: Math.round((0.3 + 0.5 * Math.sin(step / 2)) * 1e6) / 1e6 });
	}
	await client.createTrial(digits.id);

	const source = join(directory, "model");
	mkdirSync(source);
	writeFileSync(join(source, "model.onnx"), "weights");
	const uploaded = await client.uploadCheckpoint(source, { metadata: { epoch: 3 } });
	const model = await client.createModel("digits", {
		...{ labels: ["vision"], description: "of MNIST", metadata: { owner: "vision" } },
	});
	await model.registerVersion(uploaded.uuid, { name: "the first", comment: "better on sevens", labels: ["good"] });
	await model.registerVersion(uploaded.uuid, { comment: longText, notes: "# Notes\n\n- one\n- two" });
	const other = await client.createModel("letters, of a name that is rather long for a table", {
		description: longText,
	});
	await other.archive();
	for (const trial of [first, third]) {
		await trial.reportTaskUsingModelVersion(model.getVersion(1));
	}
	return { checkpointUuid: uploaded.uuid };
}

async function startReporting(connection: TestClient["connection"], trialId: number) {
	const { trialRun } = await connection.trials.startTrialRun({ trialId });
	const reporter = new MetricReporter(connection.metrics);
	return (group: string, stepsCompleted: number, metrics: object, rank?: number) =>
		reporter.report({
			...{ trialId, trialRunId: trialRun?.trialRunId ?? 0, group, stepsCompleted },
			metricsJson: toMetricsJson(metrics),
			...(rank !== undefined && { rank }),
		});
}
