import { setTimeout as delay } from "node:timers/promises";
import { MillraceError } from "../../src/errors.js";
import { ExperimentService } from "../../src/gen/millrace/v1/experiment_service_pb.js";
import { ServerService } from "../../src/gen/millrace/v1/server_service_pb.js";
import { TrialRunDecision, TrialRunState } from "../../src/gen/millrace/v1/trial_pb.js";
import {
	type EndTrialRunRequest,
	type StartTrialRunRequest,
	TrialService,
} from "../../src/gen/millrace/v1/trial_service_pb.js";
import type { ServiceHandlers } from "../../src/rpc/handler.js";
import { RpcServer } from "../../src/rpc/server.js";

/** A server of one trial whose verdicts are written down beforehand. */
export interface ScriptedTrialServer {
	readonly address: string;
	/** What it was asked. */
	readonly starts: StartTrialRunRequest[];
	readonly ends: EndTrialRunRequest[];
	readonly maxRestarts: () => number;
	close(): Promise<void>;
}

/** What the server answers to the end of a run. */
export interface Verdict {
	readonly decision: keyof typeof TrialRunDecision;
	/** The run's own state. Default: PREEMPTED or KILLED for such a decision, else FAILED. */
	readonly state?: keyof typeof TrialRunState;
	readonly reason?: string;
	/** Default 1. */
	readonly joinedCount?: number;
	/** How long the start of the run takes, in milliseconds. Default 0. */
	readonly startMs?: number;
}

/**
 * Starts a server that answers the end of each run with the next verdict. It shows a trial of 10,000 records,
 * of which each question finds 1,000 more done.
 */
export async function startScriptedTrialServer(verdicts: readonly Verdict[]): Promise<ScriptedTrialServer> {
	const server = new RpcServer(() => {});
	const starts: StartTrialRunRequest[] = [];
	const ends: EndTrialRunRequest[] = [];
	let maxRestarts = -1;
	let recordsDone = 0n;
	const trial = (restarts: number) => ({
		id: 3,
		experimentId: 2,
		maxRestarts,
		restarts,
		recordsDone,
		recordsTotal: 10_000n,
	});
	server.add(ServerService, { getServerInfo: async () => ({ dataDirectory: "/data" }) });
	server.add(
		ExperimentService,
		only<ServiceHandlers<typeof ExperimentService>>({ createExperiment: async () => ({ experiment: { id: 2 } }) }),
	);
	server.add(
		TrialService,
		only<ServiceHandlers<typeof TrialService>>({
			createTrial: async (request) => {
				maxRestarts = request.maxRestarts;
				return { trial: trial(0) };
			},
			getTrial: async () => {
				recordsDone = recordsDone < 10_000n ? recordsDone + 1_000n : recordsDone;
				return { trial: trial(0) };
			},
			startTrialRun: async (request) => {
				starts.push(request);
				await delay(verdicts[starts.length - 1]?.startMs ?? 0);
				return { trialRun: { trialId: 3, trialRunId: starts.length, worldSize: request.worldSize } };
			},
			endTrialRun: async (request) => {
				const verdict = verdicts[request.trialRunId - 1];
				if (verdict === undefined) {
					throw new MillraceError("internal", "no verdict is left");
				}
				ends.push(request);
				const { reason = "rank 0 was lost", joinedCount = 1 } = verdict;
				const { decision } = verdict;
				const usual = decision === "PREEMPTED" || decision === "KILLED" ? decision : "FAILED";
				const state = TrialRunState[verdict.state ?? usual];
				return {
					decision: TrialRunDecision[decision],
					trialRun: { trialId: 3, trialRunId: request.trialRunId, state, reason, joinedCount },
					trial: trial(ends.length),
				};
			},
		}),
	);
	const port = await server.listen("127.0.0.1", 0);
	return {
		address: `127.0.0.1:${port}`,
		starts,
		ends,
		maxRestarts: () => maxRestarts,
		close: () => server.close(0),
	};
}

/** The other methods of the service have no part in the script. */
function only<T extends object>(handlers: Partial<T>): T {
	return new Proxy(handlers, {
		get: (target, name) =>
			Reflect.get(target, name) ?? (() => Promise.reject(new MillraceError("unimplemented", String(name)))),
	}) as T;
}
