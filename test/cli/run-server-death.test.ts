import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { readServerAddress } from "../../src/data-directory.js";
import { TrialState } from "../../src/gen/millrace/v1/trial_pb.js";
import { Client } from "../../src/sdk/index.js";
import { startServer } from "../../src/server/index.js";
import { experimentFolder, recordingExperiment } from "../support/experiment-folder.js";
import { tempDir } from "../support/temp-dir.js";
import { waitUntil } from "../support/wait-until.js";

const held = /"call":"processBatch","count":2,"rank":0/;

function heldExperiment() {
	const file = join(tempDir(), "go-on");
	const hold = { call: "processBatch", count: 2, rank: 0, run: 1, file };
	const options = { records: 40, batchSize: 2, checkpointInterval: 1, hold };
	return { folder: experimentFolder(recordingExperiment(options, 2)), goOn: () => writeFileSync(file, "") };
}

describe("millrace run whose embedded server is killed", { timeout: 240_000 }, () => {
	it("starts it again at the same address, and the run completes by itself, nothing lost", async () => {
		const { folder, goOn } = heldExperiment();
		const run = folder.start();
		await run.writes(held);
		for (let kill = 0; kill < 2; kill++) {
			const server = readServerAddress(folder.data);
			assert.ok(server?.embedded);
			process.kill(server.pid, "SIGKILL");
			const again = await waitUntil(
				"the next server",
				() => {
					const next = readServerAddress(folder.data);
					return next?.pid !== server.pid ? next : undefined;
				},
				60_000,
			);
			assert.equal(again.address, server.address);
		}
		goOn();
		const { code, stderr } = await run.ended;
		assert.equal(code, 0, stderr);
		assert.match(stderr, /the embedded server at \S+ has died; starting it again\n/);
		const { trial } = await folder.read(({ trials }) => trials.getTrial({ trialId: 1 }));
		assert.deepEqual([trial?.state, trial?.recordsDone, trial?.trialRunId], [TrialState.COMPLETED, 40n, 1]);
		await folder.read(async (connection) => {
			const client = new Client({ connection });
			const reports = await client.getTrial(1).getMetrics("inference");
			const batches = reports.filter(({ metrics }) => "batch_sum" in metrics);
			assert.equal(batches.length, 20);
			assert.deepEqual(
				(await client.getTrial(1).getMetrics("validation")).map(({ metrics }) => metrics),
				[{ sum: 780 }],
			);
		});
		await folder.serverEnds();
		await waitUntil("the end of all processes", () => folder.processes().length === 0);
	});

	it("says so, and ends, when another process has started one at another address", async () => {
		const { folder } = heldExperiment();
		const run = folder.start();
		await run.writes(held);
		const server = readServerAddress(folder.data);
		// Ours is faster than the start of the process that `run` starts.
		run.signal("SIGSTOP");
		process.kill(server?.pid ?? 0, "SIGKILL");
		const other = await waitUntil("the lock", () =>
			startServer({ dataDirectory: folder.data, port: 0 }).catch(() => undefined),
		);
		try {
			run.signal("SIGCONT");
			const { code, stderr } = await run.ended;
			assert.equal(code, 1, stderr);
			assert.match(stderr, /another process has started the server of \S+ at \S+, and the workers know it at /);
			assert.match(stderr, /to go on: npx millrace run .* --trial 1/);
		} finally {
			await other.close();
		}
		await waitUntil("the end of all processes", () => folder.processes().length === 0);
	});
});
