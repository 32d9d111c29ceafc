import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { CheckpointState } from "../../../src/gen/millrace/v1/checkpoint_pb.js";
import { CheckpointService } from "../../../src/gen/millrace/v1/checkpoint_service_pb.js";
import { ExperimentService } from "../../../src/gen/millrace/v1/experiment_service_pb.js";
import { LogService } from "../../../src/gen/millrace/v1/log_service_pb.js";
import { MetricService } from "../../../src/gen/millrace/v1/metric_service_pb.js";
import { ModelService } from "../../../src/gen/millrace/v1/model_service_pb.js";
import { ProgressService } from "../../../src/gen/millrace/v1/progress_service_pb.js";
import { TrialService } from "../../../src/gen/millrace/v1/trial_service_pb.js";
import { trialTables } from "../../../src/server/db/experiment-deletion.js";
import { errorWith } from "../../support/error-with.js";
import { readTables } from "../../support/read-tables.js";
import { startTestServer, type TestServer } from "../../support/start-test-server.js";
import { tempDir } from "../../support/temp-dir.js";
import { waitUntil } from "../../support/wait-until.js";
import { joinRun, startTrial } from "../start-trial.js";

const sha256 = "a".repeat(64);

/** A trial that has left something in every table and in storage, and has been killed. */
async function fullTrial(server: TestServer, storage: string) {
	const trials = server.client(TrialService);
	const checkpoints = server.client(CheckpointService);
	const trialId = await startTrial(server, { storage });
	const { trial } = await trials.getTrial({ trialId });
	const [worker] = await joinRun(server, trialId);
	assert.ok(trial && worker);
	const { member } = worker;
	const run = { trialId, trialRunId: member.trialRunId };
	const plan = { recordCount: 20n };
	const options = { batchSize: 5, checkpointInterval: 1, onError: 2 };
	await server.client(ProgressService).beginProgress({ member, plan, options });
	await server.client(MetricService).reportMetrics({
		...{ clientId: randomUUID(), sequence: 1n },
		reports: [{ ...run, group: "inference", stepsCompleted: 1, metricsJson: '{"loss":1}' }],
	});
	await server.client(LogService).writeLogs({
		...{ clientId: randomUUID(), sequence: 1n, trialId, last: true },
		entries: [{ rank: 0, text: "loading" }],
	});
	await server.client(ProgressService).commit({
		...{ member, part: 0, commitNumber: 1, step: 1, ranges: [{ first: 1n, end: 5n }] },
		failures: [{ record: 0n, error: "it does not parse", stack: "" }],
		alone: [{ first: 5n, end: 7n }],
		outputs: [{ path: `${worker.outputs}/values.txt`, sizeBytes: 3n, sha256 }],
		partials: [{ reducer: "sum", value: { case: "slotJson", value: "1" } }],
	});
	const outputs = join(storage, trial.outputUuid, worker.outputs);
	mkdirSync(outputs, { recursive: true });
	writeFileSync(join(outputs, "values.txt"), "abc");
	const { checkpoint } = await checkpoints.createCheckpoint(run);
	const checkpointUuid = checkpoint?.uuid ?? "";
	mkdirSync(join(storage, checkpointUuid), { recursive: true });
	writeFileSync(join(storage, checkpointUuid, "model.onnx"), "1234567");
	const files = [{ path: "model.onnx", sizeBytes: 7n, sha256 }];
	await checkpoints.completeCheckpoint({ checkpointUuid, files });
	await trials.reportTrialSourceInfo({ trialId, source: { case: "checkpointUuid", value: checkpointUuid } });
	await trials.killTrial({ trialId });
	const directories = [join(storage, trial.outputUuid), join(storage, checkpointUuid)];
	assert.deepEqual(directories.map(existsSync), [true, true]);
	return { trialId, experimentId: trial.experimentId, checkpointUuid, directories };
}

/** The tables that have rows of a trial. */
async function tablesWith(server: TestServer, trialId: number): Promise<string[]> {
	const tables = Object.entries(await readTables(server.dataDirectory)) as [string, { trial_id?: unknown }[]][];
	return tables.filter(([, rows]) => rows.some((row) => row.trial_id === trialId)).map(([name]) => name);
}

describe("ExperimentService.DeleteExperiment", { timeout: 120_000 }, () => {
	it("leaves no row and no file of its trials, and what others have of them", async () => {
		const server = await startTestServer();
		const storage = tempDir();
		const doomed = await fullTrial(server, storage);
		const kept = await fullTrial(server, storage);
		await server.client(TrialService).reportTrialSourceInfo({
			trialId: kept.trialId,
			source: { case: "checkpointUuid", value: doomed.checkpointUuid },
		});
		const before = await tablesWith(server, doomed.trialId);
		assert.deepEqual(before, [...trialTables, "checkpoints"].toSorted(), "every table with trials is known");
		const experiments = server.client(ExperimentService);
		await experiments.deleteExperiment({ experimentId: doomed.experimentId });
		assert.deepEqual(await tablesWith(server, doomed.trialId), []);
		assert.deepEqual(await tablesWith(server, kept.trialId), before);
		await waitUntil("the removal of the files", () => !doomed.directories.some(existsSync));
		assert.deepEqual(kept.directories.map(existsSync), [true, true]);
		const gone = errorWith("not_found", /not found/);
		await assert.rejects(experiments.getExperiment({ experimentId: doomed.experimentId }), gone);
		await assert.rejects(experiments.deleteExperiment({ experimentId: doomed.experimentId }), gone);
		await assert.rejects(server.client(TrialService).getTrial({ trialId: doomed.trialId }), gone);
		const { checkpoint } = await server
			.client(CheckpointService)
			.getCheckpoint({ checkpointUuid: doomed.checkpointUuid });
		assert.equal(checkpoint?.state, CheckpointState.DELETED);
		const found = [];
		for await (const { reports } of server
			.client(MetricService)
			.streamCheckpointMetrics({ checkpointUuid: doomed.checkpointUuid })) {
			found.push(...reports.map(({ trialId }) => trialId));
		}
		assert.deepEqual(found, [kept.trialId]);
		const { experiments: listed } = await experiments.listExperiments({});
		assert.deepEqual(
			listed.map(({ id, trialCount }) => [id, trialCount]),
			[[kept.experimentId, 1]],
		);
		await waitUntil("that nothing is to be removed any more", async () => {
			const { output_removals, checkpoint_removals } = await readTables(server.dataDirectory);
			return output_removals?.length === 0 && checkpoint_removals?.length === 0;
		});
	});

	it("ends those who follow its metrics with an error, as what came is not all", async () => {
		const server = await startTestServer();
		const storage = tempDir();
		const { trialId, experimentId } = await fullTrial(server, storage);
		const other = await startTrial(server, { storage });
		const stream = server.client(MetricService).streamTrialMetrics({ trialIds: [trialId, other], follow: true });
		const messages = stream[Symbol.asyncIterator]();
		await messages.next();
		await server.client(ExperimentService).deleteExperiment({ requestId: randomUUID(), experimentId });
		await server.client(TrialService).killTrial({ trialId: other });
		await assert.rejects(
			async () => {
				while (!(await messages.next()).done) {
					// What was there before.
				}
			},
			errorWith("not_found", new RegExp(`trial ${trialId} not found`)),
		);
	});

	it("is refused while a trial may run, or a checkpoint is that of a model version, and changes nothing then", async () => {
		const server = await startTestServer();
		const experiments = server.client(ExperimentService);
		const { trialId, experimentId, checkpointUuid, directories } = await fullTrial(server, tempDir());
		const { trial } = await server.client(TrialService).createTrial({ experimentId });
		const before = await readTables(server.dataDirectory);
		const refused = (message: RegExp) => errorWith("failed_precondition", message);
		await assert.rejects(
			experiments.deleteExperiment({ experimentId }),
			refused(/trial 2 of experiment 1 is ACTIVE; cancel or kill the experiment, then delete it/),
		);
		await server.client(TrialService).pauseTrial({ trialId: trial?.id ?? 0 });
		await assert.rejects(experiments.deleteExperiment({ experimentId }), refused(/trial 2 of experiment 1 is PAUSED/));
		await experiments.cancelExperiment({ experimentId });
		await server.client(ModelService).createModel({ name: "digits" });
		await server.client(ModelService).registerModelVersion({ model: "digits", checkpointUuid });
		await assert.rejects(
			experiments.deleteExperiment({ experimentId }),
			refused(new RegExp(`${checkpointUuid}, registered to digits \\(model #1\\), version 1`)),
		);
		const after = await readTables(server.dataDirectory);
		for (const table of [...trialTables, "checkpoints", "checkpoint_files", "output_removals"]) {
			assert.deepEqual(after[table], before[table], table);
		}
		assert.deepEqual(directories.map(existsSync), [true, true]);
		await server.client(ModelService).deleteModelVersion({ model: "digits", version: 1 });
		await experiments.deleteExperiment({ experimentId });
		assert.deepEqual(await tablesWith(server, trialId), []);
	});

	it("removes the files when the storage is back, by the next server at the latest", async () => {
		const dataDirectory = tempDir();
		const storage = join(tempDir(), "storage");
		mkdirSync(storage);
		const server = await startTestServer({ dataDirectory });
		const { experimentId, trialId, directories } = await fullTrial(server, storage);
		renameSync(storage, `${storage}-away`);
		await server.client(ExperimentService).deleteExperiment({ requestId: "delete", experimentId });
		assert.deepEqual(await tablesWith(server, trialId), []);
		await waitUntil("the word on it", () => server.logged.some((line) => /outputs .* stay in the storage/.test(line)));
		await server.close();
		renameSync(`${storage}-away`, storage);
		assert.deepEqual(directories.map(existsSync), [true, true]);
		const next = await startTestServer({ dataDirectory });
		await waitUntil("the removal of the files", () => !directories.some(existsSync));
		await next.client(ExperimentService).deleteExperiment({ requestId: "delete", experimentId });
	});
});
