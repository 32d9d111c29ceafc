import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { TrialRunState, TrialState } from "../../src/gen/millrace/v1/trial_pb.js";
import { type ExperimentFolder, experimentFolder, recordingExperiment } from "../support/experiment-folder.js";
import { tempDir } from "../support/temp-dir.js";
import { waitUntil } from "../support/wait-until.js";

/** An experiment whose rank 0 waits in its second batch of a run, and what lets it go on. */
function heldExperiment(run: number, slots: number) {
	const file = join(tempDir(), "go-on");
	const hold = { call: "processBatch", count: 2, rank: 0, run, file };
	const options = { records: 40, batchSize: 2, checkpointInterval: 1, hold };
	return { folder: experimentFolder(recordingExperiment(options, slots)), goOn: () => writeFileSync(file, "") };
}

const heldIn = (run: number) => `"call":"processBatch","count":2,"rank":0,"run":${run}`;

const isServer = (command: string) => command.includes("\nserver\n");

/** The launcher and its workers. */
const workOf = (folder: ExperimentFolder) =>
	folder.processes().filter(({ command }) => !isServer(command) && !command.includes("\nrun\n"));

async function assertCompleted(folder: ExperimentFolder, trialRunId: number): Promise<void> {
	const { trial } = await folder.read(({ trials }) => trials.getTrial({ trialId: 1 }));
	assert.deepEqual([trial?.state, trial?.recordsDone, trial?.trialRunId], [TrialState.COMPLETED, 40n, trialRunId]);
	await folder.serverEnds();
	await waitUntil("the end of all processes", () => folder.processes().length === 0);
}

describe("the owner of a trial", { timeout: 240_000 }, () => {
	it("may be killed: its workers end with it, and the next one goes on at once", async () => {
		const { folder } = heldExperiment(1, 2);
		const first = folder.start();
		await first.writes(heldIn(1));
		await first.close();
		const second = await folder.start(["--trial", "1"]).ended;
		assert.equal(second.code, 0, second.stderr);
		const { trialRun } = await folder.read(({ trials }) => trials.getTrialRun({ trialId: 1, trialRunId: 1 }));
		assert.equal(trialRun?.state, TrialRunState.FAILED);
		await assertCompleted(folder, 2);
	});

	it("is the only one: a second is refused, and told where the first is", async () => {
		const { folder, goOn } = heldExperiment(1, 1);
		const first = folder.start();
		await first.writes(heldIn(1));
		const second = await folder.start(["--trial", "1"]).ended;
		assert.equal(second.code, 2, second.stderr);
		const owner = `run 1 of trial 1 is open, and a process on ${hostname()} (pid ${first.pid}) owns it; `;
		assert.ok(second.stderr.includes(owner), second.stderr);
		goOn();
		const end = await first.ended;
		assert.equal(end.code, 0, end.stderr);
		await assertCompleted(folder, 1);
	});

	it("ends when it wakes up after another has taken the trial over, and harms nothing", async () => {
		const { folder, goOn } = heldExperiment(2, 1);
		// The workers of run 1 never come, so that it is open when its owner falls asleep.
		const first = folder.start([], { MILLRACE_LEASE: "1", NODE_OPTIONS: "" });
		await first.writes(/trial 1 run 1|experiment 1, trial 1/);
		await waitUntil("the launcher", () => workOf(folder).length > 0);
		first.signal("SIGSTOP");
		for (const { pid } of workOf(folder)) {
			process.kill(pid, "SIGKILL");
		}
		const second = folder.start(["--trial", "1"]);
		await second.writes(heldIn(2));
		first.signal("SIGCONT");
		const end = await first.ended;
		assert.equal(end.code, 1, end.stderr);
		assert.match(end.stderr, /millrace: ending: the trial is not ours any more: .*run 2.*\n$/);
		assert.ok(end.stderr.includes(`(pid ${second.pid})`), end.stderr);
		goOn();
		const { code, stderr } = await second.ended;
		assert.equal(code, 0, stderr);
		await assertCompleted(folder, 2);
	});
});
