import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it } from "node:test";
import { TrialState } from "../../src/gen/millrace/v1/trial_pb.js";
import { experimentFolder, recordingExperiment } from "../support/experiment-folder.js";
import { tempDir } from "../support/temp-dir.js";
import { waitUntil } from "../support/wait-until.js";

describe("a launcher that is killed", { timeout: 120_000 }, () => {
	it("takes its workers along, and millrace run starts the next run, which loses nothing", async () => {
		const hold = { call: "processBatch", count: 2, rank: 0, run: 1, file: join(tempDir(), "never") };
		const options = { records: 40, batchSize: 2, checkpointInterval: 1, hold };
		const folder = experimentFolder(recordingExperiment(options, 2));
		const run = folder.start();
		await run.writes('"call":"processBatch","count":2,"rank":0');
		const launchers = folder.processes().filter(({ command }) => command.includes("\nlaunch\n"));
		assert.equal(launchers.length, 1);
		process.kill(launchers[0]?.pid ?? 0, "SIGKILL");
		const end = await run.ended;
		assert.equal(end.code, 0, end.stderr);
		const { trial } = await folder.read(({ trials }) => trials.getTrial({ trialId: 1 }));
		assert.deepEqual(
			[trial?.state, trial?.restarts, trial?.trialRunId, trial?.recordsDone],
			[TrialState.COMPLETED, 1, 2, 40n],
		);
		await waitUntil("the end of all its processes", () => folder.processes().length === 0);
	});
});
