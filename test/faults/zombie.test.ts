import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { MetricService } from "../../src/gen/millrace/v1/metric_service_pb.js";
import { ProgressService } from "../../src/gen/millrace/v1/progress_service_pb.js";
import { TrialRunState } from "../../src/gen/millrace/v1/trial_pb.js";
import { TrialService } from "../../src/gen/millrace/v1/trial_service_pb.js";
import { joinRun, startTrial } from "../server/start-trial.js";
import { errorWith } from "../support/error-with.js";
import { readTables, type Tables } from "../support/read-tables.js";
import { startTestServer, type TestServer } from "../support/start-test-server.js";
import { startWorkers } from "../support/start-workers.js";
import { tempDir } from "../support/temp-dir.js";
import { waitUntil } from "../support/wait-until.js";
import { checkCompleted, checkNoStrayFiles } from "./check-trial.js";

const leaseMs = 2_000;
const records = 60;
const options = { records, batchSize: 5, checkpointInterval: 2 };

/** All that the server remembers, but for what it answered to whom. */
async function readResults(server: TestServer): Promise<Tables> {
	const { report_clients: _, ...results } = await readTables(server.dataDirectory);
	return results;
}

describe("a worker of an older run that wakes up", { timeout: 120_000 }, () => {
	it("ends with a clear line, and leaves nothing behind", async () => {
		const server = await startTestServer({ leaseMs });
		const storage = tempDir();
		const trialId = await startTrial(server, { storage });
		const go = join(tempDir(), "go");
		const [zombie] = startWorkers({
			server: server.address,
			world: 1,
			trialId,
			options: { ...options, hold: { call: "onCheckpointStart", count: 2, rank: 0, run: 1, file: go } },
		});
		await zombie?.line(({ call, count }) => call === "onCheckpointStart" && count === 2);
		zombie?.process.kill("SIGSTOP");
		const trials = server.client(TrialService);
		await waitUntil("the end of its run", async () => {
			const { trialRun } = await trials.getTrialRun({ trialId, trialRunId: 1 });
			return trialRun?.state === TrialRunState.FAILED;
		});
		const [next] = startWorkers({ server: server.address, world: 1, trialId, options });
		const completed = await next?.ended;
		assert.equal(completed?.code, 0, completed?.stderr);
		const before = await readResults(server);
		// It writes its files and its commit now.
		writeFileSync(go, "");
		zombie?.process.kill("SIGCONT");
		const end = await zombie?.ended;
		assert.equal(end?.code, 1);
		assert.match(
			end?.stderr ?? "",
			/run 1 of (the trial is failed|trial \d+ is closed as FAILED): rank 0 on \S+ is lost: it was silent/,
		);
		assert.deepEqual(await readResults(server), before);
		await checkCompleted(server.address, trialId, records);
		await checkNoStrayFiles(server.address, trialId, storage);
	});

	it("has every write refused", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		const [worker] = await joinRun(server, trialId);
		const progress = server.client(ProgressService);
		const member = worker?.member ?? { trialId };
		const plan = { recordCount: 10n };
		const processOptions = { batchSize: 5, checkpointInterval: 1, onError: 1 };
		await progress.beginProgress({ member, plan, options: processOptions });
		await worker?.leave("it is tired");
		const commit = { member, commitNumber: 1, step: 1, ranges: [{ first: 0n, end: 5n }] };
		const report = { trialId, trialRunId: 1, group: "inference", metricsJson: '{"loss":1}' };
		const pendingCommit = { member, part: 0, commitNumber: 1 };
		const reports = [report, { ...report, stepsCompleted: 1, pendingCommit }];
		const refused = errorWith("failed_precondition", /^run 1 of trial \d+ is closed as FAILED: .*it is tired/);
		const tryAll = async () => {
			const before = await readResults(server);
			await assert.rejects(progress.beginProgress({ member, plan, options: processOptions }), refused);
			await assert.rejects(progress.commit(commit), refused);
			await assert.rejects(progress.commit({ ...commit, ranges: [], finish: true }), refused);
			await assert.rejects(progress.startPart({ member, part: 1 }), refused);
			const { statuses } = await server
				.client(MetricService)
				.reportMetrics({ clientId: randomUUID(), sequence: 1n, reports });
			assert.deepEqual(
				statuses.map(({ code }) => code),
				[9, 9],
			);
			assert.deepEqual(await readResults(server), before);
		};
		await tryAll();
		// As before while the next run lives, and with its place taken.
		await joinRun(server, trialId);
		await tryAll();
	});
});
