import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { TrialRunState, TrialState } from "../../src/gen/millrace/v1/trial_pb.js";
import { startServer } from "../../src/server/index.js";
import { experimentFolder, launchRecordingWorkers, recordingExperiment } from "../support/experiment-folder.js";
import { nodeWithTsx } from "../support/node-with-tsx.js";
import { isAlive, runMillrace, startCommand } from "../support/start-command.js";
import { tempDir } from "../support/temp-dir.js";
import { waitUntil } from "../support/wait-until.js";

describe("millrace run", { timeout: 240_000 }, () => {
	const refused: [string, string | undefined, RegExp][] = [
		["a missing file", undefined, /^millrace: .*conf\.yaml: no such file; /],
		["what is not YAML", "name: [", /^millrace: .*conf\.yaml:\d+:\d+: not YAML: /],
		["an unknown key", "entry_point: a", /unknown key entry_point; did you mean entrypoint\?/],
		["slots_per_trial 0", "entrypoint: 'true'\nresources: {slots_per_trial: 0}", /slots_per_trial must be .*, not 0/],
		[
			"slots_per_trial two",
			'entrypoint: "true"\nresources: {slots_per_trial: two}',
			/slots_per_trial must be .*, not "two"/,
		],
		["no entrypoint", "name: a", /entrypoint is missing; say what to run/],
		[
			"an entrypoint that does not exist",
			"entrypoint: no-such-command --x",
			/conf\.yaml: entrypoint .*no-such-command: command not found/,
		],
		["a list whose program does not exist", "entrypoint: [./nothing]", /\.\/nothing: command not found/],
	];
	for (const [what, yaml, message] of refused) {
		it(`exits 2 for ${what}, and creates nothing`, async () => {
			const directory = tempDir();
			const path = join(directory, "conf.yaml");
			if (yaml !== undefined) {
				writeFileSync(path, yaml);
			}
			const end = await runMillrace(["run", path, "--data", join(directory, "data")], { cwd: directory });
			assert.equal(end.code, 2);
			assert.match(end.stderr, message);
			assert.equal(end.stderr.trimEnd().split("\n").length, 1);
			assert.equal(end.stdout, "");
			assert.equal(existsSync(join(directory, "data")), false);
		});
	}

	const watchingWorker = fileURLToPath(new URL("../support/watching-worker.ts", import.meta.url));

	it("runs workers to the end, and restarts them when one is killed", async () => {
		const kill = { call: "processBatch", count: 2, rank: 1, run: 1 };
		const options = { records: 50, batchSize: 5, checkpointInterval: 1, kill };
		const { read, start, serverEnds } = experimentFolder(recordingExperiment(options, 2));
		const end = await start().ended;
		assert.equal(end.code, 0, end.stderr);
		assert.match(end.stderr, /^millrace: experiment 1, trial 1, server 127\.0\.0\.1:\d+, data \/.*\/data\n/m);
		assert.match(end.stderr, /trial 1, run 1 failed: .*rank 1.*; starting run 2 \(restart 1 of 5\)\n/);
		assert.match(end.stderr, /Root cause \(first observed failure\):\n.*\n.*\n {2}rank {6}: 1 /);
		assert.match(end.stderr, /\n {2}signal {4}: SIGKILL\n {2}memory {4}: \d\d+ MiB at its peak\n/);
		assert.match(
			end.stderr,
			/\n {2}in flight : records 15 to 19 \(batch 1\)\n {2}It was killed from outside by SIGKILL/,
		);
		assert.match(end.stderr, /experiment 1, trial 1 completed: 50 records in \d+\.\d s\n$/);
		assert.match(end.stdout, /^\[rank=0\] /m);
		assert.match(end.stdout, /^\[rank=1\] /m);
		const { trial } = await read(({ trials }) => trials.getTrial({ trialId: 1 }));
		assert.equal(trial?.state, TrialState.COMPLETED);
		assert.equal(trial?.recordsDone, 50n);
		assert.equal(trial?.trialRunId, 2);
		await serverEnds();
	});

	it("does not restart an entrypoint whose workers never join", async () => {
		const { data, read, start, serverEnds } = experimentFolder({
			entrypoint: "echo $MILLRACE_DATA; exit 3",
			hyperparameters: { lr: { type: "const", val: 2 } },
		});
		const end = await start().ended;
		assert.equal(end.code, 1, end.stderr);
		assert.equal(end.stdout, `${data}\n`);
		assert.match(
			end.stderr,
			/trial 1 failed after .*exit code 3.*no worker joined the run, so it is not started again\n$/,
		);
		const { trial } = await read(({ trials }) => trials.getTrial({ trialId: 1 }));
		assert.equal(trial?.state, TrialState.ERROR);
		assert.equal(trial?.trialRunId, 1);
		assert.deepEqual(trial?.hparams, { lr: 2 });
		await serverEnds();
	});

	it("warns of variables that it sets itself", async () => {
		const { start, serverEnds } = experimentFolder({
			entrypoint: "exit 3",
			environment: { environment_variables: ["MILLRACE_SLOTS=7"] },
		});
		const end = await start().ended;
		assert.match(end.stderr, /^millrace: warning: .*conf\.yaml: .* sets MILLRACE_SLOTS; .*so remove them\n/);
		await serverEnds();
	});

	it("exits 2 when the shell finds no command", async () => {
		const { start, serverEnds } = experimentFolder({ entrypoint: "A=1 no-such-command" });
		const end = await start().ended;
		assert.equal(end.code, 2, end.stderr);
		await serverEnds();
	});

	it("takes --data or --server before the environment, not both", async () => {
		const { path, data } = experimentFolder({ entrypoint: "echo $MILLRACE_DATA $MILLRACE_SERVER" });
		const server = await startServer({ dataDirectory: data, port: 0 });
		try {
			const env = { MILLRACE_SERVER: "127.0.0.1:1", MILLRACE_DATA: "/nowhere" };
			const byData = await runMillrace(["run", path, "--data", data], { env });
			assert.equal(byData.stdout, `${data} ${server.address}\n`, byData.stderr);
			const byServer = await runMillrace(["run", path, "--server", server.address], { env });
			assert.equal(byServer.stdout, `/nowhere ${server.address}\n`, byServer.stderr);
			const both = await runMillrace(["run", path, "--data", data, "--server", server.address]);
			assert.equal(both.code, 2);
			assert.match(both.stderr, /^millrace: --data and --server are both given/);
		} finally {
			await server.close();
		}
	});

	it("says that no server answers", async () => {
		const { path } = experimentFolder({ entrypoint: "true" });
		const end = await runMillrace(["run", path, "--server", "127.0.0.1:1"]);
		assert.equal(end.code, 1);
		assert.match(end.stderr, /^millrace: no answer from a Millrace server at 127\.0\.0\.1:1 /);
	});

	for (const [signal, exitCode] of [
		["SIGTERM", 143],
		["SIGINT", 130],
	] as const) {
		it(`ends the run at ${signal}`, async () => {
			const { read, start, serverEnds } = experimentFolder({ entrypoint: "echo pid=$$; exec sleep 60" });
			const command = start();
			await command.writes("pid=");
			command.signal(signal);
			const end = await command.ended;
			assert.equal(end.code, exitCode, end.stderr);
			assert.equal(await isAlive(Number(end.stdout.slice(4))), false);
			const { trialRun } = await read(({ trials }) => trials.getTrialRun({ trialId: 1, trialRunId: 1 }));
			assert.equal(trialRun?.state, TrialRunState.FAILED);
			assert.equal(trialRun?.reason, `millrace run was ended by ${signal}`);
			await serverEnds();
		});
	}

	it("ends the run when nobody reads its output any more", async () => {
		const { data, path, read, serverEnds } = experimentFolder({
			entrypoint: "while :; do echo line; sleep 0.05; done",
		});
		const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
		const line = '{ "$@"; echo "code $?" >&2; } | head -n 1';
		const env = { MILLRACE_DATA: data };
		const end = await startCommand("sh", ["-c", line, "sh", ...nodeWithTsx, main, "run", path], { env }).ended;
		assert.equal(end.stdout, "line\n");
		assert.match(end.stderr, /\ncode 141\n$/);
		const { trialRun } = await read(({ trials }) => trials.getTrialRun({ trialId: 1, trialRunId: 1 }));
		assert.equal(trialRun?.reason, "millrace run was ended by SIGPIPE");
		await serverEnds();
	});

	it("leaves no worker behind when it is killed itself", async () => {
		const { start, serverEnds } = experimentFolder({
			entrypoint: [...launchRecordingWorkers.slice(0, -nodeWithTsx.length - 1), ...nodeWithTsx, watchingWorker],
			resources: { slots_per_trial: 2 },
		});
		const command = start();
		const pids = await waitUntil("two workers", () => {
			const found = [...command.stdout().matchAll(/pid=(\d+)/g)];
			return found.length === 2 ? found.map((match) => Number(match[1])) : undefined;
		});
		command.signal("SIGKILL");
		for (const pid of pids) {
			await waitUntil(`the end of worker ${pid}`, async () => !(await isAlive(pid)));
		}
		await command.ended;
		await serverEnds();
	});
});
