import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { TrialRunState } from "../../src/gen/millrace/v1/trial_pb.js";
import { Client, type TrialActivity } from "../../src/sdk/index.js";
import { millraceCommand } from "../support/millrace-command.js";
import { missingProgram } from "../support/missing-program.js";
import { runInProcess } from "../support/run-command-line.js";
import { seedTrial } from "../support/seed-trial.js";
import { startCommand, startMillrace } from "../support/start-command.js";
import { startTestServer } from "../support/start-test-server.js";
import { startWorkers } from "../support/start-workers.js";
import { tempDir } from "../support/temp-dir.js";
import { useTestClient } from "../support/use-test-client.js";
import { waitUntil } from "../support/wait-until.js";

/** Two workers over 24 records, of which rank 1 waits at records 12 to 15 until it is let go. */
async function startSlowRun() {
	const server = await startTestServer({ leaseMs: 6_000 });
	const client = new Client({ server: server.address });
	after(() => client.close());
	const experiment = await client.createExperiment({ name: "slow", entrypoint: "true" });
	const { id } = await client.createTrial(experiment.id);
	const file = join(tempDir(), "go-on");
	const hold = { call: "processBatch", count: 2, rank: 1, run: 1, file };
	const options = { records: 24, batchSize: 4, checkpointInterval: 1, hold };
	const workers = startWorkers({ server: server.address, world: 2, trialId: id, options });
	after(() => workers.map((worker) => worker.process.kill("SIGKILL")));
	return { id: String(id), address: server.address, letGo: () => writeFileSync(file, "") };
}

describe("millrace trial watch", { timeout: 120_000 }, () => {
	const test = useTestClient();
	const watch = (args: readonly string[], columns?: number) =>
		runInProcess(["trial", "watch", ...args, "--server", test.address], { columns });

	/** A trial whose only run has ended in this state, if one is given. */
	async function withRun(state?: TrialRunState, reason = "") {
		const { trial } = await seedTrial(test.connection);
		if (state !== undefined) {
			await test.connection.trials.endTrialRun({ trialId: trial.id, trialRunId: 1, state, reason });
		}
		return trial;
	}

	it("says how a trial ended, and exits with the code of that", async () => {
		const completed = await withRun(TrialRunState.COMPLETED);
		const failed = await test.client.createTrial(completed.experimentId, { maxRestarts: 0 });
		await test.connection.trials.startTrialRun({ trialId: failed.id });
		const end = { trialId: failed.id, trialRunId: 1, state: TrialRunState.FAILED, reason: "out of luck" };
		await test.connection.trials.endTrialRun(end);
		const killed = await withRun();
		await killed.kill();
		const canceled = await withRun(TrialRunState.FAILED, "gone");
		await canceled.kill();
		const ends = await Promise.all([completed, failed, killed, canceled].map(({ id }) => watch([String(id)])));
		assert.deepEqual(
			ends.map(({ code, stdout, stderr }) => [code, stdout, stderr]),
			[
				[0, `trial ${completed.id} COMPLETED: 100 %; the trial is completed\n`, ""],
				[1, `trial ${failed.id} ERROR: the trial has failed: out of luck\n`, ""],
				[137, `trial ${killed.id} CANCELED: the trial was killed: a user killed the trial\n`, ""],
				[143, `trial ${canceled.id} CANCELED: the trial was canceled; its last run failed: gone\n`, ""],
			],
		);
		// On a terminal there is nothing to draw over.
		assert.equal((await watch([String(completed.id)], 80)).stdout, ends[0]?.stdout);
	});

	it("prints a line of JSON for each look", async () => {
		const trial = await withRun();
		const watched = watch([String(trial.id), "--json", "--interval", "0.1"]);
		await test.connection.trials.setTrialStatus({ trialId: trial.id, trialRunId: 1, status: "epoch 3" });
		await trial.kill();
		const { code, stdout } = await watched;
		assert.equal(code, 137);
		const activities = stdout
			.trim()
			.split("\n")
			.map((line) => JSON.parse(line) as TrialActivity);
		const last = activities.at(-1);
		assert.deepEqual([last?.trialId, last?.state, last?.run?.state], [trial.id, "CANCELED", "KILLED"]);
		assert.match(String(last?.time), /^\d{4}-\d\d-\d\dT/);
	});

	it("exits 2 when it is used wrongly", async () => {
		const id = String((await withRun()).id);
		const ends = await Promise.all([
			watch(["x"]),
			watch(["999"]),
			watch([id, "--interval", "0"]),
			watch([id, "--interval", "often"]),
		]);
		assert.deepEqual(
			ends.map(({ code }) => code),
			[2, 2, 2, 2],
			ends.map(({ stderr }) => stderr).join("\n"),
		);
	});

	it("names the worker that the others wait for, in a file, until the trial is completed", async () => {
		const { id, address, letGo } = await startSlowRun();
		const command = startMillrace(["trial", "watch", id, "--server", address, "--interval", "0.2"]);
		after(() => command.close());
		const slow = `rank 1 on ${hostname()} has been processing records 12 to 15 for \\d+ s; rank 0 waits for it at the commit of step 2`;
		await command.writes(new RegExp(`^trial ${id} run 1: 12 / 24 records \\(50 %\\), .*; ${slow}$`, "m"));
		letGo();
		const { code, stdout, stderr } = await command.ended;
		assert.deepEqual([code, stderr], [0, ""]);
		assert.equal(
			stdout.trim().split("\n").at(-1),
			`trial ${id} COMPLETED: 24 / 24 records (100 %); the trial is completed`,
		);
	});

	const skip = missingProgram(["script", "stty"]);
	it("redraws on a terminal, follows its size, and gives it back on Ctrl-C", { skip }, async () => {
		const { id, address } = await startSlowRun();
		const tty = join(tempDir(), "tty");
		const line = [...millraceCommand, "trial", "watch", id, "--server", address].map((word) => `'${word}'`).join(" ");
		const command = startCommand(
			"script",
			["-qefc", `tty > ${tty}; stty cols 100 rows 30; exec ${line}`, "/dev/null"],
			{
				env: { TERM: "xterm", LANG: "C.UTF-8", NO_COLOR: "1", SHELL: "/bin/sh" },
			},
		);
		after(() => command.close());
		await command.writes(new RegExp(`rank 1 on ${hostname()} has been processing`));
		execFileSync("stty", ["-F", readFileSync(tty, "utf8").trim(), "cols", "70", "rows", "20"]);
		const lastFrame = () => command.stdout().split("\x1b[H").at(-1) ?? "";
		const width = (line: string) => line.replace("\x1b[K", "").replace("\x1b[J", "").length;
		await waitUntil("a narrow frame", () =>
			lastFrame()
				.split(/\r*\n/)
				.every((drawn) => width(drawn) <= 70),
		);
		assert.match(lastFrame(), /RANK/);
		command.types("\x03");
		const { code, stdout } = await command.ended;
		assert.equal(code, 130);
		assert.ok(
			stdout.includes("\x1b[?1049h") && stdout.endsWith("\x1b[?25h\x1b[?7h\x1b[?1049l"),
			JSON.stringify(stdout.slice(-200)),
		);
	});
});
