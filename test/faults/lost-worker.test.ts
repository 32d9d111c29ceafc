import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { TrialService } from "../../src/gen/millrace/v1/trial_service_pb.js";
import { startTrial } from "../server/start-trial.js";
import { startTestServer } from "../support/start-test-server.js";
import { startWorkers, type WorkerEnd } from "../support/start-workers.js";
import { tempDir } from "../support/temp-dir.js";
import { checkCompleted, checkNoStrayFiles } from "./check-trial.js";

const records = 80;
const options = { records, batchSize: 5, checkpointInterval: 2 };

/** What befalls rank 1 in its fifth batch, how its process ends, and what its peer is told. */
const faults: [what: string, option: string, ends: Pick<WorkerEnd, "code" | "signal">, told: RegExp][] = [
	["killed", "kill", { code: null, signal: "SIGKILL" }, /rank 1 on \S+ is lost; last commit: step 4, 20 records/],
	["over its memory limit", "hoard", { code: null, signal: "SIGABRT" }, /rank 1 on \S+ is lost; last commit: step 4/],
	["gone with exit code 0", "exit", { code: 0, signal: null }, /rank 1 on \S+ is lost; last commit: step 4/],
	["throwing", "fail", { code: 1, signal: null }, /rank 1 on \S+ failed: planted in processBatch/],
];

describe("a worker that is lost in the middle of a run", { timeout: 180_000 }, () => {
	for (const [what, option, ends, told] of faults) {
		it(`is noticed within 3 s where it is ${what}, and the next run loses nothing`, async () => {
			const server = await startTestServer();
			const storage = tempDir();
			const trialId = await startTrial(server, { storage });
			const place = { call: "processBatch", count: 5, rank: 1, run: 1 };
			const [peer, lost] = startWorkers({
				server: server.address,
				world: 2,
				trialId,
				nodeFlags: "--max-old-space-size=256",
				options: { ...options, [option]: place },
			});
			const end = await lost?.ended;
			const start = performance.now();
			assert.deepEqual({ code: end?.code, signal: end?.signal }, ends, end?.stderr);
			const peerEnd = await peer?.ended;
			// The rest is for the process to end.
			assert.ok(performance.now() - start < 4_000, `${performance.now() - start} ms`);
			assert.equal(peerEnd?.code, 1);
			assert.match(peerEnd?.stderr ?? "", told);
			const { trial } = await server.client(TrialService).getTrial({ trialId });
			assert.deepEqual([trial?.restarts, trial?.trialRunId], [1, 1]);
			const again = startWorkers({ server: server.address, world: 3, trialId, options });
			for (const { code, stderr } of await Promise.all(again.map((worker) => worker.ended))) {
				assert.equal(code, 0, stderr);
			}
			await checkCompleted(server.address, trialId, records);
			await checkNoStrayFiles(server.address, trialId, storage);
		});
	}
});
