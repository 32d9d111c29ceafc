import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { Client } from "../../../src/sdk/index.js";
import { experimentFolder } from "../../support/experiment-folder.js";
import { millraceCommand } from "../../support/millrace-command.js";
import { nodeWithTsx } from "../../support/node-with-tsx.js";
import { startCommand } from "../../support/start-command.js";
import { startTestServer } from "../../support/start-test-server.js";

const fileOf = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const worker = [...nodeWithTsx, fileOf("../../support/workers/core-worker.ts")];
const launch = [...millraceCommand, "launch", "--", ...worker];

describe("core.init under millrace run", { timeout: 240_000 }, () => {
	it("goes on from the latest checkpoint after a worker was killed", async () => {
		const options = { steps: 6, every: 2, shard: true, kill: { step: 4, rank: 1, run: 1, afterMs: 0 } };
		const { start, read, serverEnds } = experimentFolder({
			entrypoint: launch,
			resources: { slots_per_trial: 2 },
			environment: { environment_variables: { WORKER_OPTIONS: JSON.stringify(options) } },
		});
		const { code, stdout, stderr } = await start().ended;
		assert.equal(code, 0, stderr);
		assert.match(stderr, /trial 1, run 1 failed: rank 1 on \S+ is lost/);
		assert.match(stderr, /experiment 1, trial 1 completed in \d+\.\d s\n$/);
		// It may have been killed just after the checkpoint at step 4 was whole.
		assert.match(stdout, /"call":"started","count":[24],"rank":0,"run":2/);
		assert.equal(stdout.match(/"returned":21\}/g)?.length, 2);
		const { trial } = await read(({ trials }) => trials.getTrial({ trialId: 1 }));
		assert.deepEqual([trial?.trialRunId, trial?.restarts], [2, 1]);
		await serverEnds();
	});
});

const python = "/usr/bin/python3";
const hasTorch = spawnSync(python, ["-c", "import torch.distributed.run"], { timeout: 60_000 }).status === 0;
const skip = hasTorch ? false : `${python} has no torch; test/install-engines.sh installs what the tests need`;

describe("core.init under torchrun", { skip, timeout: 240_000 }, () => {
	it("joins the trial that it is told", async () => {
		const server = await startTestServer();
		const client = new Client({ server: server.address });
		after(() => client.close());
		const experiment = await client.createExperiment({ name: "test", entrypoint: "test" });
		const { id } = await client.createTrial(experiment.id);
		const torchrun = "-m torch.distributed.run --nproc_per_node 2 --redirects 1 --tee 1 --no_python".split(" ");
		const env = {
			MILLRACE_SERVER: server.address,
			MILLRACE_TRIAL_ID: String(id),
			WORKER_OPTIONS: JSON.stringify({ steps: 3, every: 3, shard: true }),
		};
		const { code, stdout, stderr } = await startCommand(python, [...torchrun, ...worker], { env }).ended;
		assert.equal(code, 0, stderr);
		assert.equal(stdout.match(/"returned":6\}/g)?.length, 2, stdout);
		assert.equal((await client.getTrial(id)).state, "COMPLETED");
	});
});
