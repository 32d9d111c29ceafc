import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { AuthService } from "../../src/gen/millrace/v1/auth_service_pb.js";
import { Client } from "../../src/sdk/index.js";
import { experimentFolder } from "../support/experiment-folder.js";
import { millraceCommand } from "../support/millrace-command.js";
import { nodeWithTsx } from "../support/node-with-tsx.js";
import { runInProcess } from "../support/run-command-line.js";
import { startServerWithAccounts } from "../support/start-server-with-accounts.js";
import { tempDir } from "../support/temp-dir.js";

/** An experiment whose entrypoint launches workers of workers/. */
function experimentOf(worker: string, options: object, slots_per_trial = 1): object {
	const path = fileURLToPath(new URL(`../support/workers/${worker}`, import.meta.url));
	return {
		entrypoint: [...millraceCommand, "launch", "--", ...nodeWithTsx, path],
		resources: { slots_per_trial },
		environment: { environment_variables: { WORKER_OPTIONS: JSON.stringify(options) } },
	};
}

describe("millrace run on a server with accounts", { timeout: 240_000 }, () => {
	it("gives workers tokens of their own, with which they read all and write to their trial only", async () => {
		const server = await startServerWithAccounts();
		const bob = new Client({ server: server.address, token: server.bob });
		after(() => bob.close());
		const checkpoint = await bob.uploadCheckpoint(fileURLToPath(import.meta.url));
		const model = await bob.createModel("digits");
		await model.registerVersion(checkpoint.uuid);
		const other = await bob.createTrial((await bob.createExperiment({ name: "other", entrypoint: "true" })).id);

		const folder = experimentFolder(experimentOf("confined-worker.ts", { otherTrial: other.id }, 2));
		const stranger = await folder.start([], { MILLRACE_SERVER: server.address }).ended;
		assert.equal(stranger.code, 2, stranger.stderr);
		assert.match(stranger.stderr, /^millrace: this server has accounts; log in by `millrace user login`, or put/);
		const env = { MILLRACE_SERVER: server.address, MILLRACE_TOKEN: server.bob };
		const end = await folder.start([], env).ended;
		assert.equal(end.code, 0, end.stderr);
		assert.match(end.stderr, /run 1 failed: .*; starting run 2 \(restart 1 of 5\)/);
		assert.match(end.stderr, /trial 2 completed: 20 records in /);

		const [told, ...others] = [...end.stdout.matchAll(/^\[rank=\d\] (\{"user".*)$/gm)].map(([, line = ""]) =>
			JSON.parse(line),
		);
		assert.ok(others.length >= 2, "of both runs");
		assert.deepEqual([told.user, told.reads], ["bob", other.id]);
		assert.match(
			told.toOther,
			/^permission_denied: .*workers of trial 2, which may not write to trial 1; use a user's token$/,
		);
		assert.match(told.asUser, /^permission_denied: CreateModel is not for workers/);
		assert.match(told.asAdmin, /^permission_denied: /);
		for (const line of others) {
			assert.deepEqual(line, told);
		}

		const trial = await bob.getTrial(2);
		assert.equal(trial.state, "COMPLETED");
		const version = model.getVersion(1);
		assert.deepEqual(
			(await version.getMetrics("validation")).map(({ metrics, trialId }) => [trialId, metrics]),
			[[2, { sum: 190 }]],
		);
		assert.ok((await trial.listOutputs()).length > 0);
		const lines = await trial.iterLogs();
		assert.ok(lines.some(({ rank, trialRunId }) => rank === 1 && trialRunId === 2));
		const tokens = await server.client(AuthService, server.bob).listTokens({});
		assert.deepEqual(
			tokens.tokens.filter(({ trialId }) => trialId !== 0).map(({ trialId, trialRunId }) => [trialId, trialRunId]),
			[
				[2, 2],
				[2, 1],
			],
		);
	});

	it("stops at SIGTERM and goes on, from checkpoints, with an embedded server and a login that is kept", async () => {
		const file = join(tempDir(), "go-on");
		const hold = { step: 2, rank: 0, run: 1, file };
		// It takes a moment for a step, and asks whether to stop once a second.
		const folder = experimentFolder(experimentOf("core-worker.ts", { steps: 10_000_000, shard: true, hold }));
		const env = { XDG_CONFIG_HOME: tempDir() };
		process.env.XDG_CONFIG_HOME = env.XDG_CONFIG_HOME;
		after(() => delete process.env.XDG_CONFIG_HOME);
		for (const line of ["create ada --admin", "login ada"]) {
			const args = ["user", ...line.split(" "), "--data", folder.data, "--password-stdin"];
			const end = await runInProcess(args, { input: "a password of ada\n" });
			assert.equal(end.code, 0, end.stderr);
		}

		const first = folder.start([], env);
		await first.writes('"call":"step","count":2,"rank":0');
		first.signal("SIGTERM");
		await first.writes("ending (SIGTERM)");
		writeFileSync(file, "");
		const stopped = await first.ended;
		assert.equal(stopped.code, 75, stopped.stderr);
		await folder.serverEnds();
		const last = Math.max(
			...[...stopped.stdout.matchAll(/"call":"step","count":(\d+)/g)].map(([, step]) => Number(step)),
		);
		const steps = last + 2;
		writeFileSync(
			folder.path,
			JSON.stringify({ name: "test", ...experimentOf("core-worker.ts", { steps, shard: true }) }),
		);
		const second = await folder.start(["--trial", "1"], env).ended;
		assert.equal(second.code, 0, second.stderr);
		assert.match(second.stdout, new RegExp(`"call":"started","count":${last},"rank":0,"run":2`));
		assert.match(second.stdout, new RegExp(`"returned":${(steps * (steps + 1)) / 2}\\}`));
		await folder.serverEnds();
	});
});
