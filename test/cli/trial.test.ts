import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { ErrorPolicy } from "../../src/gen/millrace/v1/progress_pb.js";
import { TrialRunState } from "../../src/gen/millrace/v1/trial_pb.js";
import { joinAlone } from "../support/join-alone.js";
import { runInProcess, startInProcess } from "../support/run-command-line.js";
import { seedTrial } from "../support/seed-trial.js";
import { tempDir } from "../support/temp-dir.js";
import { useTestClient } from "../support/use-test-client.js";
import { waitUntil } from "../support/wait-until.js";

describe("millrace trial", { timeout: 120_000 }, () => {
	const test = useTestClient();
	const run = (...args: string[]) => runInProcess(["trial", ...args, "--server", test.address]);
	const lines = (text: string) => text.split("\n").slice(0, -1);

	it("lists trials by experiment and state, and prints the properties of the SDK as JSON", async () => {
		const experiment = await test.client.createExperiment({ name: "listed", entrypoint: "true" });
		const trials = [];
		for (const lr of [0.5, 0.25, 0.125]) {
			trials.unshift(await test.client.createTrial(experiment.id, { hparams: { lr } }));
		}
		await trials[0]?.kill();
		const json = JSON.parse(JSON.stringify(trials));
		const list = async (...flags: string[]) => {
			const { stdout } = await run("list", "--json", "--experiment", String(experiment.id), ...flags);
			return lines(stdout).map((line) => JSON.parse(line));
		};
		assert.deepEqual(await list(), json);
		assert.deepEqual(await list("--state", "canceled"), [json[0]]);
		assert.deepEqual(await list("--sort-by", "start-time", "--limit", "1"), [json[2]]);
		const { stdout } = await runInProcess([
			"experiment",
			"list-trials",
			String(experiment.id),
			"--json",
			"--server",
			test.address,
		]);
		assert.deepEqual(
			lines(stdout).map((line) => JSON.parse(line)),
			json,
		);
		const described = await run("describe", String(trials[1]?.id), "--json");
		assert.deepEqual(JSON.parse(described.stdout), json[1]);
		const unsortable = await run("list", "--sort-by", "DURATION");
		assert.equal(unsortable.code, 2, unsortable.stderr);
	});

	it("tells an experiment without trials from one that is not there", async () => {
		const { id } = await test.client.createExperiment({ name: "empty", entrypoint: "true" });
		const list = (experiment: number) => run("list", "--experiment", String(experiment));
		assert.deepEqual(await list(id), { code: 0, stdout: "", stderr: "millrace: no trials\n" });
		const none = { code: 2, stdout: "", stderr: "millrace: experiment 987654 not found\n" };
		assert.deepEqual(await list(987_654), none);
	});

	it("prints reports as JSON with NaN as on the wire, and whole numbers in columns of a file", async () => {
		const { trial, report } = await seedTrial(test.connection);
		await report("inference", [{ loss: 1 / 3, text: "a b" }, { loss: Number.NaN, n: { deep: [1] } }, { other: 1 }]);
		const id = String(trial.id);
		const json = lines((await run("metrics", id, "--json")).stdout).map((line) => JSON.parse(line));
		assert.deepEqual(
			json.map(({ metrics, stepsCompleted, group, trialId }) => ({ metrics, stepsCompleted, group, trialId })),
			[{ loss: 1 / 3, text: "a b" }, { loss: "NaN", n: { deep: [1] } }, { other: 1 }].map((metrics, i) => ({
				...{ metrics, stepsCompleted: i + 1, group: "inference", trialId: trial.id },
			})),
		);
		assert.deepEqual(
			(await run("metrics", id, "--name", "loss", "--name", "n.deep", "--name", "text")).stdout,
			[
				"RUN  RANK  STEPS  GROUP                    loss  n.deep  text",
				"  1            1  inference  0.3333333333333333           a b",
				"  1            2  inference                 NaN     [1]",
				"",
			].join("\n"),
		);
	});

	it("says which metrics there are where one is misspelt, and where there are none", async () => {
		const { trial, report } = await seedTrial(test.connection);
		const id = String(trial.id);
		assert.deepEqual(await run("metrics", id), { code: 0, stdout: "", stderr: "millrace: no metrics\n" });
		assert.deepEqual(await run("metrics", id, "--json"), { code: 0, stdout: "", stderr: "millrace: no metrics\n" });
		await report("inference", [{ loss: 1, text: "x" }]);
		for (const flag of [[], ["--chart"], ["--json"]]) {
			assert.deepEqual(await run("metrics", id, "--name", "los", ...flag), {
				...{ code: 2, stdout: "" },
				stderr: `millrace: no report of trial ${id} has a metric "los"; they have "loss", "text"\n`,
			});
		}
		assert.equal((await run("metrics", id, "--name", "text", "--chart")).stderr, "millrace: no metric is a number\n");
		assert.equal((await run("metrics", id, "--rank", "7")).stderr, "millrace: no metrics\n");
		assert.match((await run("metrics", id, "--chart", "--follow")).stderr, /cannot be used with option '-f, --follow'/);
		assert.equal((await run("metrics", "999")).code, 2);
	});

	it("follows what is reported, line by line, until the trial has ended", async () => {
		const { trial, report } = await seedTrial(test.connection);
		const following = startInProcess(["trial", "metrics", String(trial.id), "--follow", "--server", test.address]);
		await report("inference", [{ loss: 3 }]);
		await waitUntil("the first report", () => following.stdout().includes("loss=3"));
		await report("inference", [{ accuracy: 1 }]);
		await waitUntil("the second report", () => following.stdout().includes("accuracy=1"));
		await test.connection.trials.endTrialRun({ trialId: trial.id, trialRunId: 1, state: TrialRunState.COMPLETED });
		assert.deepEqual([(await following.ended).code, lines(following.stdout()).length], [0, 3]);
	});

	it("lists and downloads outputs, and has failed records tried again", async () => {
		const experiment = await test.client.createExperiment({ name: "outputs", entrypoint: "true" });
		const trial = await test.client.createTrial(experiment.id);
		const id = String(trial.id);
		assert.deepEqual((await run("outputs", id, "--download", tempDir())).stderr, "millrace: no outputs\n");
		assert.deepEqual((await run("retry-errors", id)).stdout, `trial ${id}: ACTIVE, no errors\n`);
		const { member, writeOutputs, leave } = await joinAlone(test.connection, trial.id, { onError: ErrorPolicy.SKIP });
		const { outputs, part } = await writeOutputs({ "a.csv": "1,2\n" });
		const failures = [{ record: 3n, error: "bad", stack: "at 3" }];
		const { progress } = test.connection;
		await progress.commit({ member, commitNumber: 1, step: 1, ranges: [{ first: 0n, end: 3n }], outputs });
		await progress.commit({ member, commitNumber: 2, step: 2, failures });
		await leave();
		const target = tempDir();
		const copy = join(target, part, "a.csv");
		assert.deepEqual(await run("outputs", id, "--download", target), { code: 0, stdout: `${copy}\n`, stderr: "" });
		assert.equal(readFileSync(copy, "utf8"), "1,2\n");
		const [output] = lines((await run("outputs", id, "--json")).stdout).map((line) => JSON.parse(line));
		assert.deepEqual(output, { path: `${part}/a.csv`, rank: 0, sizeBytes: 4 });
		const [error] = lines((await run("errors", id, "--json")).stdout).map((line) => JSON.parse(line));
		assert.deepEqual([error.record, error.error, error.stack], [3, "bad", "at 3"]);
		const retried = await run("retry-errors", id);
		assert.equal(retried.stdout, `trial ${id}: ACTIVE, 1 record to be processed once more, by its next run\n`);
	});

	it("pauses, activates and kills a trial, and says its state", async () => {
		const { trial } = await seedTrial(test.connection);
		const id = String(trial.id);
		assert.equal((await run("pause", id)).stdout, `trial ${id}: ACTIVE, to be PAUSED at its next commit\n`);
		assert.equal((await run("activate", id)).stdout, `trial ${id}: ACTIVE\n`);
		assert.equal((await run("kill", id)).stdout, `trial ${id}: CANCELED\n`);
		const refused = await run("activate", id);
		assert.deepEqual([refused.code, refused.stdout], [2, ""]);
	});
});
