import assert from "node:assert/strict";
import { realpathSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { parseExperimentConfig } from "../../src/experiment-config.js";
import { TrialRunState } from "../../src/gen/millrace/v1/trial_pb.js";
import { type OwnedTrial, runTrial } from "../../src/launcher/run-trial.js";
import { openConnection } from "../../src/sdk/connection.js";
import { startScriptedTrialServer, type Verdict } from "../support/scripted-trial-server.js";
import { isAlive } from "../support/start-command.js";
import { tempDir } from "../support/temp-dir.js";
import { waitUntil } from "../support/wait-until.js";

interface Outcome {
	exitCode: number;
	stdout: string;
	stderr: string;
	ends: { state: TrialRunState; reason: string }[];
	starts: number;
}

/** What was written so far. */
interface Output {
	stdout(): string;
	stderr(): string;
}

async function run(
	script: string,
	verdicts: Verdict[],
	{ config = {}, isTTY = false, graceMs = 30_000, during = async (_trial: OwnedTrial, _output: Output) => {} } = {},
): Promise<Outcome> {
	const server = await startScriptedTrialServer(verdicts);
	const connection = openConnection(server.address);
	let stdout = "";
	let stderr = "";
	const sink = (append: (text: string) => void) => ({
		isTTY,
		columns: 200,
		write: (data: string | Uint8Array) => append(typeof data === "string" ? data : Buffer.from(data).toString()),
	});
	try {
		const trial = runTrial({
			connection,
			config: parseExperimentConfig(config).config,
			command: ["sh", "-c", script],
			directory: process.cwd(),
			dataDirectory: "/data",
			configPath: "conf.yaml",
			graceMs,
			stdout: sink((text) => {
				stdout += text;
			}),
			stderr: sink((text) => {
				stderr += text;
			}),
		});
		await during(trial, { stdout: () => stdout, stderr: () => stderr });
		const exitCode = await trial.finished;
		return { exitCode, stdout, stderr, ends: server.ends, starts: server.starts.length };
	} finally {
		connection.close();
		await server.close();
	}
}

describe("runTrial", { timeout: 60_000 }, () => {
	it("runs the entrypoint with its environment, and passes its output through", async () => {
		const names = ["TRIAL_ID", "TRIAL_RUN_ID", "SLOTS", "DATA", "PARENT_PIPE", "GRACE"].map(
			(name) => `$MILLRACE_${name}`,
		);
		const { exitCode, stdout, stderr } = await run(
			`echo ${names.join(" ")} $OWN $MILLRACE_SERVER; printf "no end" >&2`,
			[{ decision: "DONE" }],
			{ config: { resources: { slots_per_trial: 4 }, environment: { environment_variables: ["OWN=x"] } } },
		);
		assert.equal(exitCode, 0);
		assert.match(stdout, /^3 1 4 \/data 1 30 x 127\.0\.0\.1:\d+\n$/);
		assert.match(stderr, /^millrace: experiment 2, trial 3, server 127\.0\.0\.1:\d+, data \/data\n/);
		assert.match(stderr, /no end/);
		assert.match(stderr, /millrace: experiment 2, trial 3 completed: [\d,]+ records in \d+\.\d s\n$/);
	});

	it("runs it in its directory", async () => {
		assert.equal((await run("pwd -P", [{ decision: "DONE" }])).stdout.trim(), realpathSync(process.cwd()));
	});

	it("starts the next run when the server says so, and tells why", async () => {
		const { exitCode, stdout, stderr, ends } = await run("echo run $MILLRACE_TRIAL_RUN_ID; exit 9", [
			{ decision: "RESTART", reason: "rank 1 on host a was lost" },
			{ decision: "DONE" },
		]);
		assert.equal(exitCode, 0);
		assert.equal(stdout, "run 1\nrun 2\n");
		assert.match(stderr, /trial 3, run 1 failed: rank 1 on host a was lost; starting run 2 \(restart 1 of 5\)\n/);
		assert.equal(ends[0]?.state, TrialRunState.FAILED);
		assert.equal(ends[0]?.reason, "the entrypoint ended with exit code 9 before the work was done");
	});

	const verdicts: [string, string, Verdict, number, RegExp][] = [
		["is done, whatever the exit code says", "exit 3", { decision: "DONE" }, 0, /completed/],
		["was preempted", "exit 0", { decision: "PREEMPTED" }, 75, /was preempted after [\d,]+ of 10,000 records/],
		["was killed", "exit 1", { decision: "KILLED", reason: "by bob" }, 137, /was killed after .*: by bob/],
		[
			"was canceled",
			"exit 0",
			{ decision: "KILLED", state: "PREEMPTED", reason: "a user canceled the trial" },
			143,
			/was canceled after .* s: a user canceled the trial\n$/,
		],
		[
			"was canceled and its run failed",
			"exit 1",
			{ decision: "KILLED", state: "FAILED", reason: "rank 0 was lost" },
			143,
			/was canceled after .* s: its last run failed: rank 0 was lost\n$/,
		],
		["failed", "exit 3", { decision: "FAILED" }, 1, /failed after .*: rank 0 was lost; all 5 restarts are used up/],
		["failed by a signal", "kill -SEGV $$", { decision: "FAILED" }, 139, /failed after/],
		["was used wrongly", "exit 2", { decision: "FAILED", joinedCount: 0 }, 2, /no worker joined the run, so it is not/],
		["has no command", "exit 127", { decision: "FAILED", joinedCount: 0 }, 2, /no worker joined/],
		["has no command later", "exit 127", { decision: "FAILED" }, 1, /restarts are used up/],
		["had workers that were used wrongly", "exit 2", { decision: "FAILED" }, 1, /restarts are used up/],
		["failed by a signal in a wrapper", "exit 137", { decision: "FAILED" }, 137, /failed after/],
	];
	for (const [what, script, verdict, exitCode, message] of verdicts) {
		it(`exits ${exitCode} when the trial ${what}`, async () => {
			const outcome = await run(script, [verdict]);
			assert.equal(outcome.exitCode, exitCode);
			assert.match(outcome.stderr, message);
			assert.equal(outcome.starts, 1);
		});
	}

	it("leaves nothing running that the entrypoint started", async () => {
		const { stdout } = await run("sleep 60 & echo $!", [{ decision: "DONE" }]);
		assert.equal(await isAlive(Number(stdout)), false);
	});

	const untilReady =
		(act: (trial: OwnedTrial) => void) =>
		async (trial: OwnedTrial, { stdout }: Output) => {
			await waitUntil("the entrypoint", () => stdout().includes("ready"));
			act(trial);
		};

	it("passes a signal on, waits, and starts no other run", async () => {
		const { exitCode, stdout, stderr, ends } = await run(
			'trap "sleep 0.3; echo saved; exit 0" TERM; echo ready; while :; do sleep 0.05; done',
			[{ decision: "RESTART" }],
			{ config: { entrypoint: "npx w" }, during: untilReady((trial) => trial.interrupt("SIGINT")) },
		);
		assert.equal(exitCode, 130);
		assert.match(stdout, /saved/);
		assert.match(stderr, /ending \(SIGINT\), the workers have 30 s to commit; again to kill them\n/);
		assert.match(stderr, /was interrupted after/);
		assert.match(stderr, /\nmillrace: to go on: npx millrace run conf\.yaml --trial 3 --data \/data\n$/);
		assert.equal(ends[0]?.state, TrialRunState.FAILED);
		assert.equal(ends[0]?.reason, "millrace run was ended by SIGINT");
	});

	it("ends the run that was being started when the signal came", async () => {
		const { exitCode, stdout, ends } = await run("echo ready", [{ decision: "RESTART", startMs: 1_000 }], {
			during: async (trial, { stderr }) => {
				await waitUntil("the trial", () => stderr().includes("trial 3, server"));
				trial.interrupt("SIGINT");
			},
		});
		assert.deepEqual([exitCode, stdout], [130, ""]);
		assert.equal(ends[0]?.reason, "millrace run was ended by SIGINT");
	});

	it("keeps the verdict of a run that was done when the signal came", async () => {
		const { exitCode } = await run("echo ready; exec sleep 60", [{ decision: "DONE" }], {
			during: untilReady((trial) => trial.interrupt("SIGTERM")),
		});
		assert.equal(exitCode, 0);
	});

	const stubborn = 'trap "" TERM; echo ready $$; while :; do sleep 0.05; done';

	it("kills the run after the grace", async () => {
		const { exitCode } = await run(stubborn, [{ decision: "KILLED" }], {
			graceMs: 200,
			during: untilReady((trial) => trial.interrupt("SIGTERM")),
		});
		assert.equal(exitCode, 143);
	});

	it("kills the run at the second signal", async () => {
		const { exitCode, stdout } = await run(stubborn, [{ decision: "KILLED" }], {
			during: untilReady((trial) => {
				trial.interrupt("SIGTERM");
				trial.interrupt("SIGTERM");
			}),
		});
		assert.equal(exitCode, 143);
		assert.equal(await isAlive(Number(stdout.split(" ")[1])), false);
	});

	it("does not wait for the next run once it was told to stop", async () => {
		const verdicts: Verdict[] = Array.from({ length: 20 }, () => ({ decision: "RESTART" }));
		const { exitCode, starts } = await run("echo run; [ $MILLRACE_TRIAL_RUN_ID -lt 3 ] || echo ready", verdicts, {
			during: untilReady((trial) => trial.interrupt("SIGTERM")),
		});
		assert.equal(exitCode, 143);
		assert.equal(starts, 3);
	});

	it("writes a line of progress at the end of a run where there is no terminal", async () => {
		const { stderr } = await run("exit 0", [{ decision: "DONE" }]);
		assert.match(stderr, /\nmillrace: trial 3 run 1: [\d,]+ \/ 10,000 records \(\d+ %\)/);
		assert.equal(stderr.includes("\r"), false);
	});

	it("draws a bar below the output on a terminal, and removes it", async () => {
		const file = join(tempDir(), "go");
		const { stdout, stderr } = await run(
			`echo ready; while [ ! -e ${file} ]; do sleep 0.05; done; echo gone`,
			[{ decision: "DONE" }],
			{
				isTTY: true,
				during: async (_trial, output) => {
					await waitUntil("a speed", () => output.stderr().includes("records/s"));
					writeFileSync(file, "");
				},
			},
		);
		assert.equal(stdout, "ready\ngone\n");
		const shown = stderr.replaceAll("\r\x1b[2K", "<clear>");
		assert.match(
			shown,
			/trial 3 run 1 \[█+░+\] \d,000 \/ 10,000 records \(\d+ %\), [\d,]+ records\/s, \d+ s left<clear>/,
		);
		assert.match(shown, /<clear>millrace: trial 3 run 1: .*\nmillrace: experiment 2, trial 3 completed: .*\n$/);
	});
});
