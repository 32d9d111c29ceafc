import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { TrialRunState, TrialState } from "../../src/gen/millrace/v1/trial_pb.js";
import { TrialService } from "../../src/gen/millrace/v1/trial_service_pb.js";
import { Client } from "../../src/sdk/index.js";
import { startTestServer } from "../support/start-test-server.js";
import { startWorkers, type Worker } from "../support/start-workers.js";
import { tempDir } from "../support/temp-dir.js";
import { waitUntil } from "../support/wait-until.js";

const server = await startTestServer();
const client = new Client({ server: server.address });
const trials = server.client(TrialService);
after(() => client.close());

const options = { records: 40, batchSize: 2, checkpointInterval: 2 };
/** What an undisturbed run gives. */
const results = { sum: 780, in_order: 40 };

async function newTrial(): Promise<number> {
	const experiment = await client.createExperiment({ name: "test", entrypoint: "test" });
	return (await client.createTrial(experiment.id, { maxRestarts: 5 })).id;
}

/** Starts workers of which rank 0 waits in the count-th call of a method of run 1, and returns what lets it go on. */
async function startHeld(world: number, call: string, count: number) {
	const trialId = await newTrial();
	const file = join(tempDir(), "go-on");
	const hold = { call, count, rank: 0, run: 1, file };
	const workers = startWorkers({ server: server.address, world, trialId, options: { ...options, hold } });
	after(() => workers.forEach(({ process }) => void process.kill("SIGKILL")));
	await workers[0]?.line((line) => line.call === call && line.count === count);
	// Before a worker is in its run, a signal is Node's and ends it.
	await Promise.all(workers.map((worker) => worker.line((line) => line.call === "setup")));
	return { trialId, workers, goOn: () => writeFileSync(file, "") };
}

const ends = (workers: readonly Worker[]) => Promise.all(workers.map(({ ended }) => ended));

const isAsked = (trialId: number) =>
	waitUntil("the request to preempt", async () => {
		const { trialRun } = await trials.getTrialRun({ trialId, trialRunId: 1 });
		return trialRun?.preemptRequested;
	});

describe("preemptAtSignal", { timeout: 120_000 }, () => {
	for (const signal of ["SIGTERM", "SIGINT"] as const) {
		it(`lets all workers commit and stop when one of them gets ${signal}, and the next run goes on`, async () => {
			const { trialId, workers, goOn } = await startHeld(2, "processBatch", 2);
			workers[1]?.process.kill(signal);
			// What a wrapper passes on, or a group got too, is the same signal, if it comes within a second.
			workers[1]?.process.kill("SIGTERM");
			await isAsked(trialId);
			goOn();
			for (const { code, lines, stderr } of await ends(workers)) {
				assert.equal(code, 75, stderr);
				assert.equal(lines.at(-1)?.outcome?.status, "preempted");
				assert.equal(lines.filter(({ call }) => call === "processBatch").length, 2);
			}
			const { stderr } = (await workers[1]?.ended) ?? {};
			// Of two signals that wait for a busy process the kernel may have the later one handled first.
			const [, told] =
				/^millrace: (SIG\w+): stopping at the next commit; again to end at once\n$/.exec(stderr ?? "") ?? [];
			assert.ok(told === signal || told === "SIGTERM", stderr);
			const { trialRun } = await trials.getTrialRun({ trialId, trialRunId: 1 });
			assert.equal(trialRun?.state, TrialRunState.PREEMPTED);
			assert.match(trialRun?.reason ?? "", new RegExp(`^${told} to rank 1 on `));
			const { trial } = await trials.getTrial({ trialId });
			assert.deepEqual([trial?.state, trial?.restarts, trial?.recordsDone], [TrialState.ACTIVE, 0, 8n]);

			const [next] = await ends(startWorkers({ server: server.address, world: 1, trialId, options }));
			assert.equal(next?.code, 0, next?.stderr);
			assert.deepEqual(next?.lines.find(({ call }) => call === "onFinish")?.results, results);
		});
	}

	it("ends the process at a second signal", async () => {
		const { trialId, workers } = await startHeld(1, "processBatch", 2);
		workers[0]?.process.kill("SIGTERM");
		await isAsked(trialId);
		const again = setInterval(() => workers[0]?.process.kill("SIGTERM"), 100);
		const [end] = await ends(workers);
		clearInterval(again);
		assert.deepEqual([end?.code, end?.signal], [143, null], end?.stderr);
	});

	it("ends the process when it cannot commit within its grace, if it has no launcher", async () => {
		process.env.MILLRACE_GRACE = "0.5";
		const { trialId, workers } = await startHeld(1, "processBatch", 2).finally(() => delete process.env.MILLRACE_GRACE);
		workers[0]?.process.kill("SIGTERM");
		await isAsked(trialId);
		const [end] = await ends(workers);
		assert.deepEqual([end?.code, end?.signal], [143, null], end?.stderr);
		assert.match(end?.stderr ?? "", /\nmillrace: no commit within 0\.5 s of SIGTERM: ending now\n$/);
	});

	it("leaves a signal to Node before the run has started", async () => {
		const trialId = await newTrial();
		const [alone] = startWorkers({ server: server.address, world: 2, trialId, options }).map((worker, rank) => {
			if (rank === 1) {
				worker.process.kill("SIGKILL");
			}
			return worker;
		});
		await waitUntil("the first worker", async () => (await trials.getTrial({ trialId })).trial?.trialRunId === 1);
		alone?.process.kill("SIGTERM");
		assert.equal((await alone?.ended)?.signal, "SIGTERM");
	});

	for (const [call, count] of [
		["onCheckpointStart", 10],
		["onFinish", 1],
	] as const) {
		it(`neither loses nor empties the final metrics when it comes with the last ${call}`, async () => {
			const { trialId, workers, goOn } = await startHeld(1, call, count);
			await client.getTrial(trialId).pause();
			workers[0]?.process.kill("SIGTERM");
			await isAsked(trialId);
			goOn();
			const [end] = await ends(workers);
			assert.equal(end?.code, 0, end?.stderr);
			assert.equal(end?.lines.at(-1)?.outcome?.status, "completed");
			const trial = await client.getTrial(trialId);
			assert.equal(trial.state, "COMPLETED");
			const validation = await trial.getMetrics("validation");
			assert.deepEqual(
				validation.map(({ metrics }) => metrics),
				[{ sum: results.sum }],
			);
		});
	}
});
