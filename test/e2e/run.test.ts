import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import { Client } from "../../src/sdk/index.js";
import { findProcesses } from "../support/find-processes.js";
import { nodeWithTsx } from "../support/node-with-tsx.js";
import { type RunningCommand, startCommand } from "../support/start-command.js";
import { tempDir } from "../support/temp-dir.js";
import { waitUntil } from "../support/wait-until.js";

const millrace = fileURLToPath(new URL("../../bin/millrace.js", import.meta.url));
const worker = fileURLToPath(new URL("../support/workers/recording-worker.ts", import.meta.url));
const dataDirectory = tempDir();
const client = new Client({ dataDirectory });
after(() => client.close());

/** Starts `millrace run` over the recording worker, with two workers under `millrace launch`. */
function startRun(options: object): RunningCommand {
	const config = join(tempDir(), "experiment.yaml");
	writeFileSync(
		config,
		stringify({
			name: "recorded",
			entrypoint: [process.execPath, millrace, "launch", "--", ...nodeWithTsx, worker],
			resources: { slots_per_trial: 2 },
			environment: { environment_variables: { WORKER_OPTIONS: JSON.stringify(options) } },
		}),
	);
	return startCommand(process.execPath, [millrace, "run", config], { env: { MILLRACE_DATA: dataDirectory } });
}

/** Starts `millrace launch` by itself, as on a cluster whose own tools start the node. */
function startLaunch(trialId: number, options: object): RunningCommand {
	const args = [millrace, "launch", "--nproc-per-node", "2", "--", ...nodeWithTsx, worker];
	return startCommand(process.execPath, args, {
		env: {
			MILLRACE_DATA: dataDirectory,
			MILLRACE_TRIAL_ID: String(trialId),
			WORKER_OPTIONS: JSON.stringify(options),
		},
	});
}

const processes = () => findProcesses(({ environment }) => environment.includes(`MILLRACE_DATA=${dataDirectory}\n`));

async function newestTrial() {
	const [trial] = await client.listTrials();
	assert.ok(trial);
	return trial;
}

describe("millrace run", { timeout: 240_000 }, () => {
	it("starts again by itself when a worker is killed between the last commit and the end", async () => {
		const kill = { call: "onFinish", count: 1, rank: 1, run: 1 };
		const { code, stdout, stderr } = await startRun({ records: 60, batchSize: 4, kill }).ended;
		assert.equal(code, 0, stdout + stderr);
		assert.match(stderr, /SIGKILL/);
		const trial = await newestTrial();
		assert.deepEqual([trial.state, trial.restarts, trial.trialRunId], ["COMPLETED", 1, 2]);
		const validation = await trial.getMetrics("validation");
		assert.deepEqual(
			validation.map(({ metrics }) => metrics),
			[{ sum: (59 * 60) / 2 }],
		);
		const batches = (await trial.getMetrics("inference")).filter(({ metrics }) => "batch_sum" in metrics);
		assert.equal(batches.length, 15);
	});

	it("gives up when a worker fails more often than max_restarts, with the worker's reason", async () => {
		const fail = (run: number) => ({ call: "setup", count: 1, rank: 0, run });
		const config = join(tempDir(), "failing.yaml");
		writeFileSync(
			config,
			stringify({
				name: "failing",
				entrypoint: [...nodeWithTsx, worker],
				max_restarts: 0,
				environment: { environment_variables: { WORKER_OPTIONS: JSON.stringify({ records: 3, fail: fail(1) }) } },
			}),
		);
		const env = { MILLRACE_DATA: dataDirectory };
		const { code, stderr } = await startCommand(process.execPath, [millrace, "run", config], { env }).ended;
		assert.equal(code, 1);
		assert.match(stderr, /rank 0 on .* failed: planted in setup; max_restarts is 0/);
		assert.equal((await newestTrial()).state, "ERROR");
	});

	it("exits 75 when the trial is paused, and so does the launcher whose workers exit 0", async () => {
		const file = join(tempDir(), "go-on");
		const hold = { call: "processBatch", count: 2, rank: 0, run: 1, file };
		const run = startRun({ records: 60, batchSize: 2, checkpointInterval: 2, hold });
		await run.writes('"call":"processBatch","count":2,"rank":0');
		await (await newestTrial()).pause();
		writeFileSync(file, "");
		const { code, stderr } = await run.ended;
		assert.equal(code, 75, stderr);
		assert.match(stderr, /was preempted after/);
		const trial = await newestTrial();
		assert.deepEqual([trial.state, trial.restarts], ["PAUSED", 0]);

		// The launcher by itself: its workers exit 0 whether they are done or preempted, and it asks the server.
		await trial.activate();
		const second = join(tempDir(), "go-on");
		const later = { ...hold, run: 2, file: second };
		const launched = startLaunch(trial.id, { records: 60, batchSize: 2, checkpointInterval: 2, hold: later });
		await launched.writes('"call":"processBatch","count":2,"rank":0');
		await trial.pause();
		writeFileSync(second, "");
		assert.equal((await launched.ended).code, 75);
		await trial.activate();
		const finished = await startLaunch(trial.id, { records: 60, batchSize: 2, checkpointInterval: 2 }).ended;
		assert.equal(finished.code, 0, finished.stderr);
		assert.equal((await newestTrial()).state, "COMPLETED");
	});

	it("starts no other run when the trial is paused before it", async () => {
		const place = { call: "setup", count: 1, rank: 0 };
		const run = startRun({ records: 4, fail: { ...place, run: 1 }, kill: { ...place, run: 2 } });
		await run.writes("starting run 3 in 1 s");
		await (await newestTrial()).pause();
		const { code, stderr } = await run.ended;
		assert.equal(code, 75, stderr);
		assert.equal((await newestTrial()).trialRunId, 2);
	});

	it("takes all its processes along when it is killed itself", async () => {
		const hold = { call: "processBatch", count: 1, rank: 0, run: 1, file: join(tempDir(), "never") };
		const run = startRun({ records: 60, batchSize: 2, hold });
		await run.writes('"call":"processBatch","count":1,"rank":0');
		assert.ok(processes().length >= 3);
		await run.close();
		await client.close();
		await waitUntil("the end of all processes", () => processes().length === 0, 30_000);
	});
});
