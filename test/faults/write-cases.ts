import { randomUUID } from "node:crypto";
import { CheckpointService } from "../../src/gen/millrace/v1/checkpoint_service_pb.js";
import { ExperimentService } from "../../src/gen/millrace/v1/experiment_service_pb.js";
import { MetricService } from "../../src/gen/millrace/v1/metric_service_pb.js";
import { ModelService } from "../../src/gen/millrace/v1/model_service_pb.js";
import { ProgressService } from "../../src/gen/millrace/v1/progress_service_pb.js";
import { TrialRunState } from "../../src/gen/millrace/v1/trial_pb.js";
import { TrialService } from "../../src/gen/millrace/v1/trial_service_pb.js";
import type { Connection } from "../../src/sdk/connection.js";
import { joinRun, startTrial, type TestWorker } from "../server/start-trial.js";
import type { TestServer } from "../support/start-test-server.js";
import { authWriteCases } from "./auth-write-cases.js";
import { checkpointWriteCases } from "./checkpoint-write-cases.js";
import { experimentWriteCases } from "./experiment-write-cases.js";
import { logWriteCases } from "./log-write-cases.js";
import { modelWriteCases } from "./model-write-cases.js";
import { trialWriteCases } from "./trial-write-cases.js";

/** Prepares a write with `server`, and returns the write itself, which goes through `wire`. */
export type WriteCase = (server: TestServer, wire: Connection) => Promise<() => Promise<unknown>>;

/** A write of each method that changes something, but for Attend, by `Service.Method`. */
export const writeCases: Readonly<Record<string, WriteCase>> = {
	...modelWriteCases,
	...authWriteCases,
	...logWriteCases,
	...trialWriteCases,
	...experimentWriteCases,
	...checkpointWriteCases,

	"ExperimentService.CreateExperiment": async (_server, wire) => () =>
		wire.experiments.createExperiment({ requestId: randomUUID(), config: { name: "twice" } }),

	"ExperimentService.PauseExperiment": async (server, wire) => {
		const experimentId = await experimentOf(server, await startTrial(server));
		return () => wire.experiments.pauseExperiment({ experimentId });
	},

	"ExperimentService.ActivateExperiment": async (server, wire) => {
		const trialId = await startTrial(server);
		await server.client(TrialService).pauseTrial({ trialId });
		const experimentId = await experimentOf(server, trialId);
		return () => wire.experiments.activateExperiment({ experimentId });
	},

	"TrialService.CreateTrial": async (server, wire) => {
		const config = { name: "twice" };
		const { experiment } = await server.client(ExperimentService).createExperiment({ config });
		const experimentId = experiment?.id ?? 0;
		return () => wire.trials.createTrial({ requestId: randomUUID(), experimentId });
	},

	"TrialService.StartTrialRun": async (server, wire) => {
		const trialId = await startTrial(server);
		return () => wire.trials.startTrialRun({ requestId: randomUUID(), trialId, worldSize: 2 });
	},

	"TrialService.KeepTrialRun": async (server, wire) => {
		const { ownerUuid, ...run } = await startOwnedRun(server);
		return () => wire.trials.keepTrialRun({ ...run, ownerUuid });
	},

	"TrialService.PreemptTrialRun": async (server, wire) => {
		const { trialId, trialRunId } = await startOwnedRun(server);
		return () => wire.trials.preemptTrialRun({ trialId, trialRunId, reason: "SIGTERM" });
	},

	"TrialService.EndTrialRun": async (server, wire) => {
		const { trialId, trialRunId } = await startOwnedRun(server);
		return () => wire.trials.endTrialRun({ trialId, trialRunId, state: TrialRunState.FAILED, reason: "it broke" });
	},

	"TrialService.PauseTrial": async (server, wire) => {
		const trialId = await startTrial(server);
		return () => wire.trials.pauseTrial({ trialId });
	},

	"TrialService.ActivateTrial": async (server, wire) => {
		const trialId = await startTrial(server);
		await server.client(TrialService).pauseTrial({ trialId });
		return () => wire.trials.activateTrial({ trialId });
	},

	"TrialService.KillTrial": async (server, wire) => {
		const { trialId } = await startOwnedRun(server);
		return () => wire.trials.killTrial({ trialId });
	},

	"TrialService.RetryTrialErrors": async (server, wire) => {
		const trialId = await startTrial(server);
		const worker = await startWork(server, trialId, true);
		await server.client(ProgressService).commit({
			...firstCommit(worker),
			ranges: [{ first: 1n, end: 10n }],
			failures: [{ record: 0n, error: "it does not parse", stack: "" }],
		});
		await worker.leave("enough");
		return () => wire.trials.retryTrialErrors({ requestId: randomUUID(), trialId });
	},

	"TrialService.ReportTrialSourceInfo": async (server, wire) => {
		const trialId = await startTrial(server);
		const checkpointUuid = await storeCheckpoint(server);
		return () =>
			wire.trials.reportTrialSourceInfo({ trialId, source: { case: "checkpointUuid", value: checkpointUuid } });
	},

	"CheckpointService.CreateCheckpoint": async (_server, wire) => () =>
		wire.checkpoints.createCheckpoint({ requestId: randomUUID() }),

	"CheckpointService.CompleteCheckpoint": async (server, wire) => {
		await storeCheckpoint(server);
		const { checkpoint } = await server.client(CheckpointService).createCheckpoint({});
		const checkpointUuid = checkpoint?.uuid ?? "";
		return () => wire.checkpoints.completeCheckpoint({ checkpointUuid, files: checkpointFiles, reuse: true });
	},

	"ModelService.CreateModel": async (_server, wire) => () =>
		wire.models.createModel({ requestId: randomUUID(), name: `model of ${randomUUID()}` }),

	"ModelService.RegisterModelVersion": async (server, wire) => {
		const name = `model of ${randomUUID()}`;
		await server.client(ModelService).createModel({ name });
		const checkpointUuid = await storeCheckpoint(server);
		return () => wire.models.registerModelVersion({ requestId: randomUUID(), model: name, checkpointUuid });
	},

	"MetricService.ReportMetrics": async (server, wire) => {
		const { trialId, trialRunId } = await startOwnedRun(server);
		const report = { trialId, trialRunId, group: "inference" };
		const reports = [
			// Without steps completed it never merges, so that a second one would be a second row.
			{ ...report, metricsJson: '{"loss":1}' },
			{ ...report, stepsCompleted: 1, metricsJson: '{"loss":2}' },
			{ ...report, group: "", metricsJson: "{}" },
		];
		return () => wire.metrics.reportMetrics({ clientId: randomUUID(), sequence: 1n, reports });
	},

	"ProgressService.BeginProgress": async (server, wire) => {
		const [worker] = await joinRun(server, await startTrial(server));
		return () => wire.progress.beginProgress({ member: worker?.member ?? {}, ...plan(false) });
	},

	"ProgressService.Commit": async (server, wire) => {
		const worker = await startWork(server, await startTrial(server));
		const values = { batches: [{ firstRecord: 0n, valuesJson: "[1,2]" }] };
		return () =>
			wire.progress.commit({
				...firstCommit(worker),
				ranges: [{ first: 0n, end: 5n }],
				outputs: [{ path: `${worker.outputs}/values.txt`, sizeBytes: 3n, sha256: "a".repeat(64) }],
				partials: [{ reducer: "values", value: { case: "recordValues", value: values } }],
			});
	},

	"ProgressService.StartPart": async (server, wire) => {
		const { member } = await startWork(server, await startTrial(server), true);
		const report = { trialId: member.trialId, trialRunId: member.trialRunId, group: "inference", stepsCompleted: 1 };
		const pendingCommit = { member, part: 0, commitNumber: 1 };
		const reports = [{ ...report, metricsJson: '{"loss":1}', pendingCommit }];
		await server.client(MetricService).reportMetrics({ clientId: randomUUID(), sequence: 1n, reports });
		return () => wire.progress.startPart({ member, part: 1 });
	},
};

const checkpointFiles = [{ path: "model.onnx", sizeBytes: 7n, sha256: "b".repeat(64) }];

/** Stores a checkpoint with the same files each time, and returns its UUID. */
async function storeCheckpoint(server: TestServer): Promise<string> {
	const checkpoints = server.client(CheckpointService);
	const { checkpoint } = await checkpoints.createCheckpoint({});
	const checkpointUuid = checkpoint?.uuid ?? "";
	await checkpoints.completeCheckpoint({ checkpointUuid, files: checkpointFiles });
	return checkpointUuid;
}

async function experimentOf(server: TestServer, trialId: number): Promise<number> {
	const { trial } = await server.client(TrialService).getTrial({ trialId });
	return trial?.experimentId ?? 0;
}

/** Starts a run without members. */
async function startOwnedRun(server: TestServer) {
	const trialId = await startTrial(server);
	const ownerUuid = randomUUID();
	const { trialRun } = await server.client(TrialService).startTrialRun({ trialId, ownerUuid });
	return { trialId, trialRunId: trialRun?.trialRunId ?? 0, ownerUuid };
}

/** Joins a trial as its only worker, with ten records to do. */
async function startWork(server: TestServer, trialId: number, skipsErrors = false): Promise<TestWorker> {
	const [worker] = await joinRun(server, trialId);
	if (worker === undefined) {
		throw new Error("no worker has joined");
	}
	await server.client(ProgressService).beginProgress({ member: worker.member, ...plan(skipsErrors) });
	return worker;
}

function plan(skipsErrors: boolean) {
	const onError = skipsErrors ? 2 : 1;
	return { plan: { recordCount: 10n }, options: { batchSize: 5, checkpointInterval: 1, onError } };
}

function firstCommit({ member }: TestWorker) {
	return { member, part: 0, commitNumber: 1, step: 1 };
}
