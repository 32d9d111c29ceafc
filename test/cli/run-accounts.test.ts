import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { readServerAddress } from "../../src/data-directory.js";
import { AuthService } from "../../src/gen/millrace/v1/auth_service_pb.js";
import { Client } from "../../src/sdk/index.js";
import { experimentFolder } from "../support/experiment-folder.js";
import { millraceCommand } from "../support/millrace-command.js";
import { nodeWithTsx } from "../support/node-with-tsx.js";
import { runMillrace } from "../support/start-command.js";
import { startServerWithAccounts } from "../support/start-server-with-accounts.js";
import { tempDir } from "../support/temp-dir.js";
import { waitUntil } from "../support/wait-until.js";

/** An experiment whose entrypoint launches a worker of workers/ on two ranks. */
function experimentOf(worker: string, options: object): object {
	const path = fileURLToPath(new URL(`../support/workers/${worker}`, import.meta.url));
	return {
		entrypoint: [...millraceCommand, "launch", "--", ...nodeWithTsx, path],
		resources: { slots_per_trial: 2 },
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

		const folder = experimentFolder(experimentOf("confined-worker.ts", { otherTrial: other.id }));
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
		const hold = { step: 3, rank: 0, run: 1, file };
		const folder = experimentFolder(experimentOf("core-worker.ts", { steps: 6, every: 2, shard: true, hold }));
		const env = { XDG_CONFIG_HOME: tempDir() };
		const user = (args: string[], password: string) =>
			runMillrace(["user", ...args, "--data", folder.data, "--password-stdin"], { env, input: `${password}\n` });
		const created = await user(["create", "ada", "--admin"], "a password of ada");
		assert.equal(created.code, 0, created.stderr);
		assert.equal((await user(["login", "ada"], "a password of ada")).code, 0);

		const first = folder.start([], env);
		await first.writes('"call":"step","count":3,"rank":0');
		first.signal("SIGTERM");
		await first.writes("ending (SIGTERM)");
		writeFileSync(file, "");
		const stopped = await first.ended;
		assert.equal(stopped.code, 75, stopped.stderr);
		await waitUntil("the end of the server", () => !existsSync(join(folder.data, "server.json")));
		const second = await folder.start(["--trial", "1"], env).ended;
		assert.equal(second.code, 0, second.stderr);
		assert.match(second.stdout, /"call":"started","count":[23],"rank":0,"run":2/);
		assert.equal(second.stdout.match(/"returned":21\}/g)?.length, 2, second.stdout);
		assert.equal(readServerAddress(folder.data)?.embedded ?? true, true);
		await folder.serverEnds();
	});
});
