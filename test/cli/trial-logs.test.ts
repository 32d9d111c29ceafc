import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { LogLevel } from "../../src/gen/millrace/v1/log_pb.js";
import { openConnection } from "../../src/sdk/connection.js";
import { seedTrial } from "../support/seed-trial.js";
import { type RunningCommand, runMillrace, startMillrace } from "../support/start-command.js";
import { tempDir } from "../support/temp-dir.js";
import { useTestClient } from "../support/use-test-client.js";

describe("millrace trial logs", { timeout: 240_000 }, () => {
	const test = useTestClient();

	async function withLines() {
		const { trial } = await seedTrial(test.connection);
		const entries = [
			{ rank: 0, text: "one" },
			{ rank: 1, level: LogLevel.ERROR, text: "two" },
			{ rank: 1, text: "three" },
		];
		await test.connection.logs.writeLogs({ clientId: `of ${trial.id}`, sequence: 1n, trialId: trial.id, entries });
		return trial;
	}

	const logs = (...args: string[]) => runMillrace(["trial", "logs", ...args, "--server", test.address]);

	it("prints the lines of a trial, filtered", async () => {
		const id = String((await withLines()).id);
		const [all, ...some] = await Promise.all([
			logs(id),
			logs(id, "--tail", "1"),
			logs(id, "--head", "1"),
			logs(id, "--rank", "0", "--rank", "7"),
			logs(id, "--level", "error"),
			logs(id, "--search", "TWO"),
			logs(id, "--search", "^o|ee$", "--regex"),
		]);
		assert.equal(all.code, 0);
		const [first, second] = all.stdout.split("\n");
		assert.match(first ?? "", /^\[\d{4}-.*Z\] \[rank=0\] \|\| INFO: one$/);
		assert.match(second ?? "", / \[rank=1\] \|\| ERROR: two$/);
		const words = some.map(({ stdout }) => [...stdout.matchAll(/: (\w+)$/gm)].map((match) => match[1]).join(" "));
		assert.deepEqual(words, ["three", "one", "one", "two", "two", "one three"]);
	});

	it("exits 2 when it is used wrongly", async () => {
		const id = String((await withLines()).id);
		const ends = await Promise.all([
			logs("x"),
			logs(id, "--head", "0"),
			logs(id, "--head", "1", "--tail", "1"),
			logs(id, "--rank", "-1"),
			logs(id, "--level", "loud"),
			logs(id, "--search", "(", "--regex"),
			logs("999"),
		]);
		assert.deepEqual(
			ends.map(({ code }) => code),
			ends.map(() => 2),
			ends.map(({ stderr }) => stderr).join("\n"),
		);
		assert.match(ends[4]?.stderr ?? "", /TRACE, DEBUG, INFO, WARNING, ERROR, CRITICAL/);
	});

	it("follows until it is interrupted", async () => {
		const trial = await withLines();
		const args = ["trial", "logs", String(trial.id), "--follow", "--server", test.address];
		const command = startMillrace(args);
		after(() => command.close());
		await command.writes("three");
		command.signal("SIGINT");
		const { code, signal } = await command.ended;
		assert.ok(signal === "SIGINT" || code === 130, `${code} ${signal}`);
	});
});

describe("millrace trial logs --follow", { timeout: 240_000 }, () => {
	it("prints each line of each rank once, also when the server is killed meanwhile, until the trial has ended", async () => {
		let server: RunningCommand | undefined;
		let port = "0";
		// Registered before the directory's own removal, so that it runs before it.
		after(() => server?.close());
		const data = tempDir();
		const start = async () => {
			server = startMillrace(["server", "--port", port, "--no-http", "--data", data]);
			await server.writes("serving at");
			port = /serving at \S+:(\d+),/.exec(server.stdout())?.[1] ?? "";
		};
		await start();
		const address = `127.0.0.1:${port}`;
		const connection = openConnection(address, { connectMs: 30_000, retryMs: 60_000 });
		after(() => connection.close());
		const { trial } = await seedTrial(connection);
		const follower = startMillrace(["trial", "logs", String(trial.id), "--follow", "--server", address]);
		const script = "i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo $i; sleep 0.05; done";
		const flags = ["--nproc-per-node", "2", "--server", address, "--trial", String(trial.id)];
		const launch = startMillrace(["launch", ...flags, "--", "sh", "-c", script]);
		after(() => Promise.all([follower.close(), launch.close()]));
		for (const line of [30, 120]) {
			await follower.writes(`INFO: ${line}\n`);
			await server?.close();
			await start();
		}
		assert.equal((await launch.ended).code, 0);
		await trial.kill();
		const end = await follower.ended;
		assert.equal(end.code, 0, end.stderr);
		for (const rank of [0, 1]) {
			const lines = [...end.stdout.matchAll(new RegExp(`\\[rank=${rank}\\] \\|\\| INFO: (\\d+)$`, "gm"))];
			assert.deepEqual(
				lines.map((match) => Number(match[1])),
				Array.from({ length: 300 }, (_, i) => i + 1),
				`rank ${rank}`,
			);
		}
	});
});
