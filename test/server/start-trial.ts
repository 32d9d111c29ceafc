import { randomUUID } from "node:crypto";
import { after } from "node:test";
import { ExperimentService } from "../../src/gen/millrace/v1/experiment_service_pb.js";
import { RendezvousService } from "../../src/gen/millrace/v1/rendezvous_service_pb.js";
import { TrialService } from "../../src/gen/millrace/v1/trial_service_pb.js";
import type { TestServer } from "../support/start-test-server.js";

/** Creates an experiment with a trial, and returns the trial's id. `storage` is a directory for its files. */
export async function startTrial(
	server: Pick<TestServer, "client">,
	options: { maxRestarts?: number; storage?: string } = {},
): Promise<number> {
	const { storage } = options;
	const config = {
		name: "test",
		...(storage !== undefined && { checkpoint_storage: { type: "directory", container_path: storage } }),
	};
	const { experiment } = await server.client(ExperimentService).createExperiment({ config });
	const { trial } = await server.client(TrialService).createTrial({
		experimentId: experiment?.id ?? 0,
		maxRestarts: options.maxRestarts ?? 5,
	});
	return trial?.id ?? 0;
}

/** A worker that has joined a run and has not left it. */
export interface TestWorker {
	readonly member: { trialId: number; trialRunId: number; rank: number; memberUuid: string };
	/** The directory that its output files have to lie in, with part 0. */
	readonly outputs: string;
	/** Tells that it is alive. */
	beat(): void;
	/** Leaves, which fails the run. */
	leave(reason: string): Promise<void>;
}

/** Joins all workers of a run, and returns them once the run has started. */
export function joinRun(
	server: TestServer,
	trialId: number,
	options: { worldSize?: number; trialRunId?: number } = {},
): Promise<TestWorker[]> {
	const { worldSize = 1, trialRunId = 0 } = options;
	return Promise.all(
		Array.from({ length: worldSize }, (_, rank) => joinRank(server, trialId, rank, worldSize, trialRunId)),
	);
}

async function joinRank(
	server: TestServer,
	trialId: number,
	rank: number,
	worldSize: number,
	named: number,
): Promise<TestWorker> {
	const call = server.client(RendezvousService).attend();
	after(() => call.cancel());
	const memberUuid = randomUUID();
	call.send({
		message: {
			case: "join",
			value: {
				trialId,
				trialRunId: named,
				memberUuid,
				rank,
				worldSize,
				localRank: rank,
				localWorldSize: worldSize,
				host: "test",
				pid: 1,
			},
		},
	});
	const beat = setInterval(() => call.send({ message: { case: "heartbeat", value: {} } }), 1_000);
	after(() => clearInterval(beat));
	const answers = call[Symbol.asyncIterator]();
	for (;;) {
		const next = await answers.next();
		if (next.done || next.value.message.case === "ended") {
			throw new Error(`the run ended before it started: ${JSON.stringify(next.value?.message.value)}`);
		}
		if (next.value.message.case === "started") {
			const { trialRunId } = next.value.message.value;
			return {
				member: { trialId, trialRunId, rank, memberUuid },
				outputs: `r${trialRunId}-w${rank}-p0-${memberUuid}`,
				beat: () => call.send({ message: { case: "heartbeat", value: {} } }),
				async leave(reason) {
					call.send({ message: { case: "leave", value: { reason } } });
					while (!(await answers.next()).done) {
						// The last message tells that the run has ended.
					}
				},
			};
		}
	}
}
