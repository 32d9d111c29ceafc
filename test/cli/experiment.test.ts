import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it } from "node:test";
import { ExperimentService } from "../../src/gen/millrace/v1/experiment_service_pb.js";
import { TrialService } from "../../src/gen/millrace/v1/trial_service_pb.js";
import { startTrial } from "../server/start-trial.js";
import { runMillrace } from "../support/start-command.js";
import { startTestServer } from "../support/start-test-server.js";
import { tempDir } from "../support/temp-dir.js";

describe("millrace experiment", { timeout: 120_000 }, () => {
	it("lists experiments, and pauses, activates, cancels, kills and deletes them", async () => {
		const server = await startTestServer();
		const run = (...command: string[]) => runMillrace(["experiment", ...command, "--server", server.address]);
		assert.match((await run("list")).stderr, /no experiments/);
		await server.client(ExperimentService).createExperiment({ config: { name: "no trials" } });
		const trialId = await startTrial(server);
		const { trialRun } = await server.client(TrialService).startTrialRun({ trialId });
		const call = { trialId, trialRunId: trialRun?.trialRunId ?? 0, progress: 0.999 };
		await server.client(TrialService).reportTrialProgress(call);
		assert.equal(
			(await run("list")).stdout,
			"ID  STATE   DONE  TRIALS  NAME\n 2  ACTIVE   99%       1  test\n 1  ACTIVE    0%       0  no trials\n",
		);
		const steps: readonly (readonly [command: string, stdout: string])[] = [
			["pause", "experiment 2: ACTIVE, to be PAUSED at the next commit\n"],
			["activate", "experiment 2: ACTIVE\n"],
			["cancel", "experiment 2: ACTIVE, to be CANCELED at the next commit\n"],
			["kill", "experiment 2: CANCELED\n"],
			["delete", "experiment 2: deleted\n"],
		];
		for (const [command, stdout] of steps) {
			const outcome = await run(command, "2");
			assert.equal(outcome.stdout, stdout, outcome.stderr);
		}
		const gone = await run("kill", "2");
		assert.deepEqual([gone.code, gone.stderr], [2, "millrace: experiment 2 not found\n"]);
	});

	it("exits 2 for what is no id, and makes no data directory", async () => {
		const wrong = await runMillrace(["experiment", "pause", "mine", "--data", tempDir()]);
		assert.equal(wrong.code, 2);
		assert.match(wrong.stderr, /Give the number of an experiment/);
		const absent = await runMillrace(["experiment", "list", "--data", join(tempDir(), "none")]);
		assert.equal(absent.code, 2);
		assert.match(absent.stderr, /there is no data directory/);
	});
});
