import assert from "node:assert/strict";
import { hostname } from "node:os";
import { describe, it } from "node:test";
import { seedTrial } from "../support/seed-trial.js";
import { runMillrace } from "../support/start-command.js";
import { useTestClient } from "../support/use-test-client.js";

describe("millrace launch, the log of its workers", { timeout: 240_000 }, () => {
	const test = useTestClient();

	async function launch(script: string, args: string[] = [], env: Record<string, string> = {}) {
		const { trial } = await seedTrial(test.connection);
		const flags = ["--server", test.address, "--trial", String(trial.id), ...args];
		const end = await runMillrace(["launch", ...flags, "--", "sh", "-c", script], { env });
		return { end, logs: await trial.iterLogs() };
	}

	it("keeps each line with rank, stream, host, run and level, the unfinished last one too (F.46)", async () => {
		const env = { MILLRACE_TRIAL_RUN_ID: "1" };
		const script = 'echo "WARN r$RANK"; sleep 1; printf "last of $RANK" >&2; [ "$MILLRACE_LOGS_KEPT" = 1 ]';
		const { trial } = await seedTrial(test.connection);
		const variables = { ...env, MILLRACE_TRIAL_ID: String(trial.id), MILLRACE_SERVER: test.address };
		const args = ["launch", "--nproc-per-node", "2", "--", "sh", "-c", script];
		const before = Date.now();
		assert.equal((await runMillrace(args, { env: variables })).code, 0);
		const logs = await trial.iterLogs();
		for (const rank of [0, 1]) {
			const own = logs.filter((log) => log.rank === rank);
			assert.deepEqual(
				own.map(({ text, level, stream, source, host, trialRunId }) => {
					return [text, level, stream, source, host, trialRunId];
				}),
				[
					[`WARN r${rank}`, "WARNING", "stdout", "worker", hostname(), 1],
					[`last of ${rank}`, "INFO", "stderr", "worker", hostname(), 1],
				],
			);
			const [first, last] = own.map(({ time }) => time.getTime());
			assert.ok(first !== undefined && last !== undefined && first >= before && last > first);
		}
		assert.equal(logs.length, 4);
	});

	it("keeps the report of a failure as its own lines", async () => {
		const { end, logs } = await launch("echo why >&2; exit 7");
		assert.equal(end.code, 7);
		assert.equal(logs[0]?.text, "why");
		const report = logs.filter(({ source }) => source === "launch");
		assert.ok(report.some(({ text }) => /exit code : 7/.test(text)));
		assert.ok(report.every(({ level, rank }) => level === "ERROR" && rank === null));
		assert.equal(report.length, logs.length - 1);
	});

	it("keeps 100,000 lines of one worker, in their order", async () => {
		const { end, logs } = await launch("seq 100000");
		assert.equal(end.code, 0);
		assert.equal(logs.length, 100_000);
		assert.ok(logs.every(({ text }, i) => text === String(i + 1)));
	});

	it("keeps nothing where its own output is kept, and without a server it ends all the same", async () => {
		const kept = await launch("echo x", [], { MILLRACE_LOGS_KEPT: "1" });
		assert.deepEqual(kept.logs, []);
		const start = Date.now();
		const args = ["launch", "--server", "127.0.0.1:9", "--trial", "1", "--", "sh", "-c", "echo x; exit 3"];
		const end = await runMillrace(args);
		assert.equal(end.code, 3);
		assert.equal(end.stdout, "[rank=0] x\n");
		assert.match(end.stderr, /millrace: the server did not take the last \d+ lines of the log of the trial in time\n/);
		assert.ok(Date.now() - start < 30_000);
	});
});
