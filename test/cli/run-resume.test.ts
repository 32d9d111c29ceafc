import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { TrialRunState, TrialState } from "../../src/gen/millrace/v1/trial_pb.js";
import { Client } from "../../src/sdk/index.js";
import { type ExperimentFolder, experimentFolder, recordingExperiment } from "../support/experiment-folder.js";
import { tempDir } from "../support/temp-dir.js";

const work = { records: 40, batchSize: 2, checkpointInterval: 2 };

/** An experiment whose rank 0 waits in its second batch of run 1, and what lets it go on. */
function heldExperiment(slots = 1) {
	const file = join(tempDir(), "go-on");
	const hold = { call: "processBatch", count: 2, rank: 0, run: 1, file };
	const folder = experimentFolder(recordingExperiment({ ...work, hold }, slots));
	return { folder, goOn: () => writeFileSync(file, "") };
}

const held = '"call":"processBatch","count":2,"rank":0';

const trialOf = (folder: ExperimentFolder) => folder.read(({ trials }) => trials.getTrial({ trialId: 1 }));

/** Checks that the trial gave what an undisturbed one gives. */
async function assertComplete(folder: ExperimentFolder): Promise<void> {
	const { trial } = await trialOf(folder);
	assert.deepEqual([trial?.state, trial?.recordsDone], [TrialState.COMPLETED, 40n]);
	await folder.read(async (connection) => {
		const metrics = await new Client({ connection }).getTrial(1).getMetrics("validation");
		assert.deepEqual(
			metrics.map((report) => report.metrics),
			[{ sum: 780 }],
		);
	});
}

describe("millrace run --trial", { timeout: 240_000 }, () => {
	for (const [signal, slots] of [
		["SIGINT", 1],
		["SIGTERM", 2],
	] as const) {
		it(`goes on with a trial that ${signal} paused at a commit`, async () => {
			const { folder, goOn } = heldExperiment(slots);
			const first = folder.start();
			await first.writes(held);
			first.signal(signal);
			await first.writes(`millrace: ending (${signal}), the workers have 30 s to commit; again to kill them\n`);
			goOn();
			const end = await first.ended;
			assert.equal(end.code, 75, end.stderr);
			assert.match(end.stderr, /experiment 1, trial 1 was preempted after \d+ of 40 records/);
			const line = `to go on: npx millrace run ${folder.path} --trial 1 --data ${folder.data}\n`;
			assert.ok(end.stderr.endsWith(line), end.stderr);
			const { trial } = await trialOf(folder);
			assert.deepEqual([trial?.state, trial?.restarts], [TrialState.PAUSED, 0]);

			const second = await folder.start(["--trial", "1"]).ended;
			assert.equal(second.code, 0, second.stderr);
			assert.match(second.stderr, /experiment 1, trial 1 completed: 40 records in /);
			await assertComplete(folder);

			const third = await folder.start(["--trial", "1"]).ended;
			assert.equal(third.code, 0, third.stderr);
			assert.match(third.stderr, /experiment 1, trial 1 was completed before: 40 records\n$/);
			await folder.serverEnds();
		});
	}

	it("kills workers that do not commit within the grace, loses nothing committed, and goes on", async () => {
		const { folder } = heldExperiment();
		const first = folder.start(["--grace", "1"]);
		await first.writes(held);
		first.signal("SIGINT");
		const end = await first.ended;
		assert.equal(end.code, 130, end.stderr);
		assert.match(end.stderr, /the workers have 1 s to commit/);
		assert.match(end.stderr, /trial 1 was interrupted after /);
		const { trial } = await trialOf(folder);
		assert.equal(trial?.state, TrialState.PAUSED);
		const second = await folder.start(["--trial", "1"]).ended;
		assert.equal(second.code, 0, second.stderr);
		await assertComplete(folder);
		await folder.serverEnds();
	});

	it("lets a pause by the SDK stop the run with 75", async () => {
		const { folder, goOn } = heldExperiment();
		const first = folder.start();
		await first.writes(held);
		await folder.read(async (connection) => (await new Client({ connection }).getExperiment(1)).pause());
		goOn();
		const end = await first.ended;
		assert.equal(end.code, 75, end.stderr);
		await folder.serverEnds();
	});

	it("refuses the file of another experiment, and changes nothing", async () => {
		const { folder } = heldExperiment();
		const first = folder.start(["--grace", "0.1"]);
		await first.writes(held);
		first.signal("SIGINT");
		await first.ended;
		writeFileSync(folder.path, JSON.stringify({ ...recordingExperiment(work), name: "other" }));
		const end = await folder.start(["--trial", "1"]).ended;
		assert.equal(end.code, 2, end.stderr);
		assert.match(end.stderr, /trial 1 belongs to the experiment "test", but the file describes "other"; give /);
		const { trial } = await trialOf(folder);
		assert.deepEqual([trial?.state, trial?.trialRunId], [TrialState.PAUSED, 1]);
		await folder.serverEnds();
	});

	it("warns of what the file has otherwise than the trial, which keeps it", async () => {
		const { folder, goOn } = heldExperiment();
		goOn();
		await folder.start().ended;
		const other = { ...recordingExperiment(work), entrypoint: "exit 0", hyperparameters: { lr: 0.5 } };
		writeFileSync(folder.path, JSON.stringify({ name: "test", ...other }));
		const end = await folder.start(["--trial", "1"]).ended;
		assert.equal(end.code, 0, end.stderr);
		const entrypoint =
			/warning: .*: entrypoint is "exit 0" in the file, which is run, but trial 1 was recorded with \[".*\]\n/;
		assert.match(end.stderr, entrypoint);
		assert.match(
			end.stderr,
			/warning: .*: hyperparameter lr is 0\.5 in the file, but not there in trial 1, which keeps/,
		);
		await folder.serverEnds();
	});

	it("refuses an unknown trial, a canceled one, and --retry-errors without one", async () => {
		const folder = experimentFolder({ entrypoint: "exit 3" });
		const alone = await folder.start(["--retry-errors"]).ended;
		assert.equal(alone.code, 2);
		assert.match(alone.stderr, /--retry-errors is given without --trial; name the trial\n$/);
		assert.equal(existsSync(folder.data), false);
		await folder.start().ended;
		await folder.read(({ trials }) => trials.activateTrial({ trialId: 1 }));
		await folder.read(({ trials }) => trials.killTrial({ trialId: 1 }));
		const canceled = await folder.start(["--trial", "1"]).ended;
		assert.equal(canceled.code, 2);
		assert.match(
			canceled.stderr,
			/^millrace: trial 1 is canceled, which is final; run without --trial to start another/m,
		);
		const unknown = await folder.start(["--trial", "7"]).ended;
		assert.equal(unknown.code, 2);
		assert.match(unknown.stderr, /^millrace: trial 7 not found/m);
		const { trialRun } = await folder.read(({ trials }) => trials.getTrialRun({ trialId: 1, trialRunId: 1 }));
		assert.equal(trialRun?.state, TrialRunState.FAILED);
		await folder.serverEnds();
	});
});
