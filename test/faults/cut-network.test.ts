import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { TrialService } from "../../src/gen/millrace/v1/trial_service_pb.js";
import { startTrial } from "../server/start-trial.js";
import { startCutProxy } from "../support/cut-proxy.js";
import { startTestServer } from "../support/start-test-server.js";
import { startWorkers, type Worker } from "../support/start-workers.js";
import { tempDir } from "../support/temp-dir.js";
import { waitUntil } from "../support/wait-until.js";
import { checkCompleted, checkNoStrayFiles } from "./check-trial.js";

const leaseMs = 3_000;
const records = 60;
const options = { records, batchSize: 5, checkpointInterval: 1 };

/** Two workers in their third batch, of which the second speaks to the server over a wire of its own. */
async function startRun() {
	const server = await startTestServer({ leaseMs });
	const storage = tempDir();
	const trialId = await startTrial(server, { storage });
	const wire = await startCutProxy(server.address);
	const go = join(tempDir(), "go");
	const workers = startWorkers({
		server: (rank) => (rank === 1 ? wire.address : server.address),
		world: 2,
		trialId,
		options: (rank) => ({ ...options, hold: { call: "processBatch", count: 3, rank, run: 1, file: go } }),
	});
	await Promise.all(workers.map((worker) => worker.line(({ call, count }) => call === "processBatch" && count === 3)));
	return { server, storage, trialId, wire, go, workers: workers as [Worker, Worker] };
}

const pass = (ms: number) => {
	const start = performance.now();
	return waitUntil(`${ms} ms to pass`, () => performance.now() - start > ms);
};

describe("a network that is cut between a worker and the server", { timeout: 120_000 }, () => {
	for (const how of ["silent", "broken"] as const) {
		it(`is survived when it is ${how} for less than ${how === "silent" ? "a lease" : "a second"}`, async () => {
			const { server, storage, trialId, wire, go, workers } = await startRun();
			if (how === "silent") {
				wire.pause();
			} else {
				wire.cut("reset");
			}
			writeFileSync(go, "");
			await pass(how === "silent" ? leaseMs / 2 : 500);
			wire.resume();
			for (const { code, stderr } of await Promise.all(workers.map((worker) => worker.ended))) {
				assert.equal(code, 0, stderr);
			}
			const { trial } = await server.client(TrialService).getTrial({ trialId });
			assert.deepEqual([trial?.trialRunId, trial?.restarts], [1, 0]);
			await checkCompleted(server.address, trialId, records);
			await checkNoStrayFiles(server.address, trialId, storage);
		});
	}

	it("fails the run within the lease and a second when it is longer, and fences the worker", async () => {
		const { server, storage, trialId, wire, go, workers } = await startRun();
		const [near, far] = workers;
		wire.pause();
		const start = performance.now();
		writeFileSync(go, "");
		const end = await near.ended;
		const noticedMs = performance.now() - start;
		// The second is the rule's; another one is for the process to end.
		assert.ok(noticedMs < leaseMs + 2_000, `${noticedMs} ms`);
		assert.equal(end.code, 1);
		assert.match(end.stderr, /rank 1 on \S+ is lost: it was silent for 3 s; last commit: step 2, 10 records/);
		const again = startWorkers({ server: server.address, world: 1, trialId, options });
		for (const { code, stderr } of await Promise.all(again.map((worker) => worker.ended))) {
			assert.equal(code, 0, stderr);
		}
		wire.resume();
		const fenced = await far.ended;
		assert.equal(fenced.code, 1);
		assert.match(fenced.stderr, /run 1 of (the trial is failed|trial \d+ is closed as FAILED): rank 1 on \S+ is lost/);
		await checkCompleted(server.address, trialId, records);
		await checkNoStrayFiles(server.address, trialId, storage);
	});
});
