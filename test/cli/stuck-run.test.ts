import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { TrialState } from "../../src/gen/millrace/v1/trial_pb.js";
import { experimentFolder, recordingExperiment } from "../support/experiment-folder.js";
import { waitUntil } from "../support/wait-until.js";

/** A run whose only worker does not come back from its second batch, with a lease of 2 s. */
async function startStuck() {
	const block = { call: "processBatch", count: 2, rank: 0, run: 1 };
	const folder = experimentFolder(recordingExperiment({ records: 8, batchSize: 2, checkpointInterval: 1, block }));
	const run = folder.start([], { MILLRACE_LEASE: "2" });
	await run.writes('"call":"processBatch","count":2,"rank":0,"run":1');
	return { folder, run };
}

describe("millrace run whose only worker is stuck", { timeout: 240_000 }, () => {
	it("starts the next run when the worker was frozen for longer than the lease", async () => {
		const { folder, run } = await startStuck();
		const workers = folder.processes().filter(({ environment }) => environment.includes("MILLRACE_STATUS_FILE="));
		assert.ok(workers.length > 0);
		for (const { pid } of workers) {
			process.kill(pid, "SIGSTOP");
		}
		const { code, stderr } = await run.ended;
		assert.equal(code, 0, stderr);
		assert.match(stderr, /the run is over, but its entrypoint goes on; ending it\n/);
		assert.match(stderr, /trial 1, run 1 failed: rank 0 .*; starting run 2/);
		assert.match(stderr, /trial 1 completed: 8 records/);
		await folder.serverEnds();
		await waitUntil("the end of all processes", () => folder.processes().length === 0);
	});

	it("ends when the trial is killed", async () => {
		const { folder, run } = await startStuck();
		await folder.read(({ trials }) => trials.killTrial({ trialId: 1 }));
		const { code, stderr } = await run.ended;
		assert.equal(code, 137, stderr);
		const { trial } = await folder.read(({ trials }) => trials.getTrial({ trialId: 1 }));
		assert.equal(trial?.state, TrialState.CANCELED);
		await folder.serverEnds();
		await waitUntil("the end of all processes", () => folder.processes().length === 0);
	});
});
