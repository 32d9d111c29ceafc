import { createHash, randomUUID } from "node:crypto";
import { isMillraceError } from "../../../src/errors.js";
import { CheckpointService } from "../../../src/gen/millrace/v1/checkpoint_service_pb.js";
import { ExperimentService } from "../../../src/gen/millrace/v1/experiment_service_pb.js";
import { LogService } from "../../../src/gen/millrace/v1/log_service_pb.js";
import { MetricService } from "../../../src/gen/millrace/v1/metric_service_pb.js";
import { ModelService } from "../../../src/gen/millrace/v1/model_service_pb.js";
import { ProgressService } from "../../../src/gen/millrace/v1/progress_service_pb.js";
import { RendezvousService } from "../../../src/gen/millrace/v1/rendezvous_service_pb.js";
import { TrialRunState } from "../../../src/gen/millrace/v1/trial_pb.js";
import { TrialService } from "../../../src/gen/millrace/v1/trial_service_pb.js";
import type { Channel } from "../../../src/rpc/channel.js";
import { createRpcClient } from "../../../src/rpc/client.js";

/** What stands in a server that was seeded: what messages may name that are to reach its deep code. */
export interface FuzzWorld {
	readonly experimentIds: readonly number[];
	/** One that has ended, one with an open run of a script, one with a run that a worker attends to. */
	readonly trialIds: readonly [ended: number, open: number, attended: number];
	/** Names and ids. */
	readonly models: readonly [string, ...string[]];
	readonly checkpointUuids: readonly [completed: string, other: string];
	/** The worker. */
	readonly member: {
		readonly trialId: number;
		readonly trialRunId: number;
		readonly rank: number;
		readonly memberUuid: string;
	};
	readonly pageTokens: readonly string[];
	readonly resumeTokens: readonly string[];
	/** Ends the worker's stream. */
	end(): void;
}

/** The one file that the seeded checkpoints have. */
export const seededFile = {
	path: "model/weights.bin",
	data: Buffer.from("weights"),
	sizeBytes: 7n,
	sha256: createHash("sha256").update("weights").digest("hex"),
};

/** Seeds a server by good calls, each of which has to succeed. */
export async function seedWorld(channel: Channel): Promise<FuzzWorld> {
	const experiments = createRpcClient(ExperimentService, channel);
	const trials = createRpcClient(TrialService, channel);
	const models = createRpcClient(ModelService, channel);
	const checkpoints = createRpcClient(CheckpointService, channel);
	const metrics = createRpcClient(MetricService, channel);
	const id = randomUUID().slice(0, 8);

	const experimentIds: number[] = [];
	for (const part of ["one", "two"]) {
		const config = { name: `fuzz ${id} ${part}`, entrypoint: "true", labels: ["a", "b,c"] };
		const { experiment } = await experiments.createExperiment({ requestId: randomUUID(), config });
		experimentIds.push(experiment?.id ?? 0);
	}
	const createTrial = async () => {
		const request = { requestId: randomUUID(), experimentId: experimentIds[0] ?? 0, hparams: { lr: 0.1 } };
		return (await trials.createTrial({ ...request, maxRestarts: 5 })).trial?.id ?? 0;
	};
	const trialIds = [await createTrial(), await createTrial(), await createTrial()] as const;
	const [ended, open, attended] = trialIds;
	for (const trialId of [ended, open]) {
		await trials.startTrialRun({ requestId: randomUUID(), trialId });
	}
	const checkpointUuids: string[] = [];
	for (const trialId of [ended, open]) {
		const { path, sizeBytes, sha256 } = seededFile;
		const files = [{ path, sizeBytes, sha256 }];
		const request = { requestId: randomUUID(), trialId, trialRunId: 1, metadata: { id } };
		const { checkpoint } = await checkpoints.createCheckpoint(request);
		const checkpointUuid = checkpoint?.uuid ?? "";
		await whereBuilt(() => checkpoints.writeCheckpointFile({ checkpointUuid, file: files[0], data: seededFile.data }));
		await checkpoints.completeCheckpoint({ checkpointUuid, files, metadata: { steps_completed: 1 } });
		checkpointUuids.push(checkpointUuid);
	}
	const [completed = "", other = ""] = checkpointUuids;

	const modelNames: string[] = [];
	for (const part of ["one", "two"]) {
		const name = `fuzz ${id} ${part}`;
		const { model } = await models.createModel({ requestId: randomUUID(), name, labels: ["a"], metadata: { a: 1 } });
		for (const checkpointUuid of [completed, other]) {
			await models.registerModelVersion({ requestId: randomUUID(), model: name, checkpointUuid });
		}
		modelNames.push(name, String(model?.id));
	}
	for (const trialId of trialIds) {
		await trials.reportTrialSourceInfo({ trialId, type: 1, source: { case: "checkpointUuid", value: completed } });
	}
	const reports = [ended, open].flatMap((trialId) =>
		[1, 2, 3].map((stepsCompleted) => ({
			...{ trialId, trialRunId: 1, group: "inference", stepsCompleted },
			metricsJson: JSON.stringify({ loss: stepsCompleted, text: "a" }),
		})),
	);
	await metrics.reportMetrics({ clientId: randomUUID(), sequence: 1n, reports });
	const entries = ["a".repeat(60), "% _ 'quoted'"].map((text) => ({ trialRunId: 1, rank: 0, text, source: "worker" }));
	const logs = createRpcClient(LogService, channel);
	await whereBuilt(() => logs.writeLogs({ clientId: randomUUID(), sequence: 1n, trialId: ended, entries }));
	await trials.endTrialRun({ trialId: ended, trialRunId: 1, state: TrialRunState.COMPLETED });

	const { member, end } = await attend(channel, attended);
	await createRpcClient(ProgressService, channel).beginProgress({
		member,
		plan: { recordCount: 1_000n },
		options: { batchSize: 2, checkpointInterval: 1, onError: 2 },
	});
	const pages = [
		await experiments.listExperiments({ pageSize: 1 }),
		await trials.listTrials({ pageSize: 1, experimentId: experimentIds[0] ?? 0 }),
		await models.listModels({ pageSize: 1 }),
		await models.listModelVersions({ pageSize: 1, model: modelNames[0] ?? "" }),
	];
	const resumeTokens: string[] = [];
	for await (const { resumeToken } of metrics.streamTrialMetrics({ trialIds: [ended], group: "inference" })) {
		resumeTokens.push(resumeToken);
	}
	return {
		...{ experimentIds, trialIds, member, end, resumeTokens },
		models: modelNames as [string, ...string[]],
		checkpointUuids: [completed, other],
		pageTokens: pages.map(({ nextPageToken }) => nextPageToken).filter((token) => token !== ""),
	};
}

/** Makes a call that the server may not have yet. */
async function whereBuilt(call: () => Promise<unknown>): Promise<void> {
	try {
		await call();
	} catch (error) {
		if (!isMillraceError(error, "unimplemented")) {
			throw error;
		}
	}
}

async function attend(channel: Channel, trialId: number): Promise<Pick<FuzzWorld, "member" | "end">> {
	const call = createRpcClient(RendezvousService, channel).attend();
	const memberUuid = randomUUID();
	const join = { trialId, memberUuid, worldSize: 1, localWorldSize: 1, host: "fuzz", pid: 1 };
	call.send({ message: { case: "join", value: join } });
	const answers = call[Symbol.asyncIterator]();
	for (;;) {
		const { done, value } = await answers.next();
		if (done || value.message.case === "ended") {
			throw new Error("the seeded run ended before it started");
		}
		if (value.message.case === "started") {
			const { trialRunId } = value.message.value;
			const beat = setInterval(() => call.send({ message: { case: "heartbeat", value: {} } }), 1_000);
			// What comes is read until the run ends, as the messages that follow may end it.
			void (async () => {
				while (!(await answers.next()).done) {}
			})().catch(() => {});
			return {
				member: { trialId, trialRunId, rank: 0, memberUuid },
				end() {
					clearInterval(beat);
					call.cancel();
				},
			};
		}
	}
}
