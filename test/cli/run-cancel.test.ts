import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { TrialRunState, TrialState } from "../../src/gen/millrace/v1/trial_pb.js";
import { experimentFolder, recordingExperiment } from "../support/experiment-folder.js";
import { tempDir } from "../support/temp-dir.js";
import { waitUntil } from "../support/wait-until.js";

describe("millrace run of an experiment that is canceled", { timeout: 240_000 }, () => {
	it("ends after the next commit, says so, and starts no other run", async () => {
		const file = join(tempDir(), "go-on");
		const hold = { call: "processBatch", count: 2, rank: 0, run: 1, file };
		const options = { records: 40, batchSize: 2, checkpointInterval: 2, hold };
		const folder = experimentFolder(recordingExperiment(options, 2));
		const launcher = folder.start();
		await launcher.writes('"call":"processBatch","count":2,"rank":0');
		const asked = await folder.read(async ({ experiments, trials }) => {
			await experiments.cancelExperiment({ experimentId: 1 });
			return (await trials.getTrial({ trialId: 1 })).trial;
		});
		assert.deepEqual([asked?.state, asked?.cancelRequested], [TrialState.ACTIVE, true]);
		writeFileSync(file, "");
		const { code, stderr } = await launcher.ended;
		assert.equal(code, 143, stderr);
		assert.match(
			stderr,
			/millrace: experiment 1, trial 1 was canceled after 8 of 40 records in [\d.]+ s: a user canceled the trial\n$/,
		);
		assert.doesNotMatch(stderr, /starting run|to go on/);
		const { trial, trialRun } = await folder.read(async ({ trials }) => ({
			...(await trials.getTrial({ trialId: 1 })),
			...(await trials.getTrialRun({ trialId: 1, trialRunId: 1 })),
		}));
		assert.deepEqual(
			[trial?.state, trial?.cancelRequested, trial?.trialRunId, trial?.restarts, trialRun?.state],
			[TrialState.CANCELED, false, 1, 0, TrialRunState.PREEMPTED],
		);
		const again = await folder.start(["--trial", "1"]).ended;
		assert.equal(again.code, 2, again.stderr);
		await folder.serverEnds();
		await waitUntil("the end of all processes", () => folder.processes().length === 0);
	});
});
