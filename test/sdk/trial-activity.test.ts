import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { TrialRunState } from "../../src/gen/millrace/v1/trial_pb.js";
import { openConnection } from "../../src/sdk/connection.js";
import { Client, type TrialActivity } from "../../src/sdk/index.js";
import { attendRanks } from "../rendezvous/attend-ranks.js";
import { errorWith } from "../support/error-with.js";
import { restartableServer } from "../support/restartable-server.js";
import { seedTrial } from "../support/seed-trial.js";
import { startTestServer } from "../support/start-test-server.js";
import { startWorkers } from "../support/start-workers.js";
import { tempDir } from "../support/temp-dir.js";
import { useTestClient } from "../support/use-test-client.js";

const often = { interval: 0.05 };

/** Reads on until an activity fits, and returns it. */
async function until(
	activities: AsyncIterator<TrialActivity>,
	what: string,
	fits: (activity: TrialActivity) => boolean,
): Promise<TrialActivity> {
	const messages = new Set<string>();
	for (let next = await activities.next(); !next.done; next = await activities.next()) {
		if (fits(next.value)) {
			return next.value;
		}
		messages.add(next.value.message);
	}
	throw new Error(`the trial ended without ${what}; it was: ${[...messages].join(" | ")}`);
}

const says = (pattern: RegExp) => (activity: TrialActivity) => pattern.test(activity.message);

describe("Trial.watch", { timeout: 120_000 }, () => {
	const test = useTestClient();

	it("gives what is known of a trial until it ends, whose end is the last", async () => {
		const { trial } = await seedTrial(test.connection);
		const activities = test.client.getTrial(trial.id).watch(often)[Symbol.asyncIterator]();
		const { value: first } = await activities.next();
		assert.ok(first instanceof Object && first.time instanceof Date && first.run?.startTime instanceof Date);
		assert.deepEqual(first, {
			time: first.time,
			trialId: trial.id,
			experimentId: trial.experimentId,
			experimentName: "seeded",
			state: "ACTIVE",
			pauseRequested: false,
			cancelRequested: false,
			recordsDone: 0,
			recordsFailed: 0,
			recordsTotal: 0,
			progress: 0,
			status: "",
			restarts: 0,
			maxRestarts: 5,
			run: {
				...{ trialRunId: 1, state: "RUNNING", worldSize: 0, reason: "", joinedCount: 0 },
				...{ ownerHost: "", ownerPid: 0, preemptRequested: false, startTime: first.run.startTime, endTime: null },
			},
			recordsPerSecond: null,
			secondsLeft: null,
			leaseSeconds: 15,
			joinDeadline: null,
			workers: [],
			waits: [],
			message: "run 1 is that of a script, which has no workers",
		});
		const run = { trialId: trial.id, trialRunId: 1 };
		await test.connection.trials.reportTrialProgress({ ...run, progress: 0.25 });
		await test.connection.trials.setTrialStatus({ ...run, status: "epoch 3" });
		const told = await until(activities, "progress", ({ progress }) => progress > 0);
		assert.deepEqual([told.progress, told.status], [0.25, "epoch 3"]);
		await test.connection.trials.endTrialRun({ ...run, state: TrialRunState.FAILED, reason: "out of luck" });
		const failed = await until(activities, "a failure", ({ run }) => run?.state === "FAILED");
		assert.match(failed.message, /^run 1 failed: out of luck; the trial waits for its next run, which /);
		await trial.pause();
		await until(activities, "a pause", ({ state }) => state === "PAUSED");
		await trial.kill();
		const ended = await until(activities, "an end", ({ state }) => state === "CANCELED");
		assert.equal(ended.message, "the trial was canceled; its last run failed: out of luck");
		assert.deepEqual(await activities.next(), { done: true, value: undefined });
		assert.equal((await trial.watch()).length, 1);
	});

	it("refuses wrong options, and a trial that is not there", async () => {
		const { trial } = await seedTrial(test.connection);
		const wrong = (options: object, text: RegExp) =>
			assert.rejects(async () => trial.watch(options), errorWith("invalid_argument", text));
		await wrong({ interval: 0 }, /^interval is 0; it must be a number of seconds, more than 0/);
		await wrong({ interval: "1" }, /^interval is "1";/);
		await wrong({ every: 1 }, /^unknown option every of watch; it has interval$/);
		await assert.rejects(
			async () => test.client.getTrial(999).watch(),
			errorWith("not_found", /^trial 999 not found$/),
		);
	});

	it("names the worker that the others wait for, what it is at, and that it is frozen", async () => {
		const server = await startTestServer({ leaseMs: 6_000 });
		const client = new Client({ server: server.address });
		after(() => client.close());
		const experiment = await client.createExperiment({ name: "slow", entrypoint: "true" });
		const { id } = await client.createTrial(experiment.id);
		const file = join(tempDir(), "go-on");
		const hold = { call: "processBatch", count: 2, rank: 1, run: 1, file };
		const workers = startWorkers({
			server: server.address,
			world: 2,
			trialId: id,
			options: { records: 24, batchSize: 4, checkpointInterval: 1, hold },
		});
		const [zero, one] = workers;
		assert.ok(zero && one);
		after(() => workers.map((worker) => worker.process.kill("SIGKILL")));
		const activities = client.getTrial(id).watch(often)[Symbol.asyncIterator]();
		const name = `rank 1 on ${hostname()}`;
		const waiting = "rank 0 waits for it at the commit of step 2";
		const slow = await until(activities, "a slow worker", says(/ has been processing /));
		assert.match(slow.message, new RegExp(`^${name} has been processing records 12 to 15 for \\d+ s; ${waiting}$`));
		assert.match(slow.workers[1]?.message ?? "", /^processing records 12 to 15 for \d+ s$/);
		assert.match(slow.workers[0]?.message ?? "", /^waits at the commit of step 2 for \d+ s$/);
		assert.deepEqual(
			slow.workers.map(({ rank, step, inFlight, recordsDone, lastCommitStep }) => [
				rank,
				step,
				inFlight,
				recordsDone,
				lastCommitStep,
			]),
			[
				[0, 2, null, 8, 2],
				[1, 1, { first: 12, end: 16 }, 4, 1],
			],
		);
		assert.deepEqual([slow.recordsDone, slow.recordsTotal, slow.progress], [12, 24, 0.5]);
		assert.deepEqual(
			slow.waits.map(({ operation, caller, waitingRanks, missingRanks }) => [
				operation,
				caller,
				waitingRanks,
				missingRanks,
			]),
			[["step", "runtime", [0], [1]]],
		);
		// Of rank 0 two commits are known.
		assert.ok((slow.recordsPerSecond ?? 0) > 0 && slow.secondsLeft === 12 / (slow.recordsPerSecond ?? 0));
		one.process.kill("SIGSTOP");
		const frozen = await until(activities, "a silent worker", says(/ silent /));
		one.process.kill("SIGCONT");
		assert.match(frozen.message, new RegExp(`^${name} has been silent for \\d s, and is lost after 6 s; ${waiting}$`));
		writeFileSync(file, "");
		const ended = await until(activities, "the end", ({ state }) => state === "COMPLETED");
		assert.deepEqual([ended.message, ended.recordsDone], ["the trial is completed", 24]);
		for (const { ended } of workers) {
			assert.equal((await ended).code, 0, (await ended).stderr);
		}
	});

	it("goes on where the server is killed and started again, and says who has not come back", async () => {
		const server = restartableServer();
		const address = await server.start();
		const connection = openConnection(address, { connectMs: 30_000, retryMs: 60_000 });
		after(() => connection.close());
		const client = new Client({ connection });
		const experiment = await client.createExperiment({ name: "restarted", entrypoint: "true" });
		const trial = await client.createTrial(experiment.id);
		const activities = trial.watch(often)[Symbol.asyncIterator]();
		assert.match((await activities.next()).value.message, /^the trial waits for workers; /);
		const members = await attendRanks([address], { trialId: trial.id, worldSize: 2 });
		await until(activities, "workers", says(/^its 2 workers are running$/));
		await server.kill();
		members[1]?.close();
		await server.start();
		const half = await until(activities, "a worker that is back", ({ workers }) => workers[0]?.heardTime != null);
		assert.deepEqual(
			half.workers.map(({ connected, message }) => [connected, message]),
			[
				[true, "running"],
				[false, "has not come back"],
			],
		);
		assert.match(half.message, /^the server waits for rank 1 of 2 to come back to it, for at most \d+ s$/);
		await trial.kill();
		await until(activities, "the end", ({ state }) => state === "CANCELED");
		assert.equal((await activities.next()).done, true);
	});
});
