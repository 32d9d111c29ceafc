import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { ExperimentService } from "../../src/gen/millrace/v1/experiment_service_pb.js";
import { TrialState } from "../../src/gen/millrace/v1/trial_pb.js";
import { TrialService } from "../../src/gen/millrace/v1/trial_service_pb.js";
import { runMillrace } from "../support/start-command.js";
import { startTestServer } from "../support/start-test-server.js";
import { tempDir } from "../support/temp-dir.js";

const directory = tempDir();
const config = join(directory, "digits.yaml");
writeFileSync(
	config,
	`entrypoint: npx tsx worker.ts
max_restarts: 2
resources: { slots_per_trial: 4 }
hyperparameters: { model: mnist-cnn, scale: { type: const, val: 3 } }
bind_mounts: []
`,
);

describe("millrace trial create", { timeout: 60_000 }, () => {
	it("records a trial of the file's experiment, prints its id alone, and says how to run it", async () => {
		const server = await startTestServer();
		const { address } = server;
		const { code, stdout, stderr } = await runMillrace(["trial", "create", config, "--server", address]);
		assert.equal(code, 0, stderr);
		assert.equal(stdout, "1\n");
		assert.match(stderr, /warning: .*bind_mounts/);
		assert.match(stderr, /recorded experiment 1, trial 1\n/);
		assert.ok(stderr.includes(`npx millrace run ${config} --trial 1 --server ${address}\n`), stderr);
		assert.ok(stderr.includes(`with MILLRACE_SERVER=${address} MILLRACE_TRIAL_ID=1\n`), stderr);
		const nodes = "--nnodes N --node-rank K --nproc-per-node 4";
		assert.ok(stderr.includes(`npx millrace launch ${nodes} --server ${address} --trial 1 -- WORKER\n`), stderr);

		const { trial } = await server.client(TrialService).getTrial({ trialId: 1 });
		assert.deepEqual([trial?.state, trial?.maxRestarts, trial?.trialRunId], [TrialState.ACTIVE, 2, 0]);
		assert.deepEqual(trial?.hparams, { model: "mnist-cnn", scale: 3 });
		const { experiment } = await server.client(ExperimentService).getExperiment({ experimentId: 1 });
		assert.equal(experiment?.name, "digits");
	});

	it("names the data directory instead of the address of an embedded server", async () => {
		const data = join(tempDir(), "with space");
		const { code, stdout, stderr } = await runMillrace(["trial", "create", config, "--data", data]);
		assert.equal(code, 0, stderr);
		assert.equal(stdout, "1\n");
		assert.ok(stderr.includes(`with MILLRACE_DATA='${data}' MILLRACE_TRIAL_ID=1\n`), stderr);
		assert.ok(stderr.includes(`npx millrace run ${config} --trial 1 --data '${data}'\n`), stderr);
		assert.ok(stderr.includes("--server HOST:PORT --trial 1"), stderr);
	});

	it("exits 2 for a file that is not there", async () => {
		const { code, stderr } = await runMillrace(["trial", "create", "none.yaml", "--data", tempDir()]);
		assert.equal(code, 2);
		assert.match(stderr, /^millrace: none\.yaml: no such file/);
	});
});
