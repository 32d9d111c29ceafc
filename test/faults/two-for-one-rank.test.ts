import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { startTrial } from "../server/start-trial.js";
import { startCutProxy } from "../support/cut-proxy.js";
import { startTestServer } from "../support/start-test-server.js";
import { startWorkers } from "../support/start-workers.js";
import { tempDir } from "../support/temp-dir.js";
import { waitUntil } from "../support/wait-until.js";
import { checkCompleted } from "./check-trial.js";

const records = 40;
const options = { records, batchSize: 5, checkpointInterval: 1 };

describe("a second process for one rank", { timeout: 120_000 }, () => {
	/** One worker that is held in its second batch, and another one that comes over a wire of its own. */
	async function startBoth(leaseMs: number) {
		const server = await startTestServer({ leaseMs });
		const trialId = await startTrial(server);
		const go = join(tempDir(), "go");
		const hold = { call: "processBatch", count: 2, rank: 0, run: 1, file: go };
		const [first] = startWorkers({ server: server.address, world: 1, trialId, options: { ...options, hold } });
		await first?.line(({ call, count }) => call === "processBatch" && count === 2);
		const wire = await startCutProxy(server.address);
		const [second] = startWorkers({ server: wire.address, world: 1, trialId, options });
		assert.ok(first && second);
		return { server, trialId, go, first, second, wire };
	}

	it("is told who has the rank, after a lease, and the first goes on", async () => {
		const { server, trialId, go, first, second } = await startBoth(1_000);
		const refused = await second.ended;
		assert.equal(refused.code, 1);
		const holder = `rank 0 is taken by process ${first.process.pid} on ${hostname()}`;
		assert.ok(refused.stderr.includes(holder), refused.stderr);
		writeFileSync(go, "");
		const end = await first.ended;
		assert.equal(end.code, 0, end.stderr);
		await checkCompleted(server.address, trialId, records);
	});

	it("goes on in the next run when the first dies meanwhile", async () => {
		const { server, trialId, first, second, wire } = await startBoth(20_000);
		await waitUntil("the second to come", () => wire.connectionCount > 0);
		first.process.kill("SIGKILL");
		const end = await second.ended;
		assert.equal(end.code, 0, end.stderr);
		assert.deepEqual(end.lines.at(-1)?.outcome, { status: "completed", trialId, trialRunId: 2 });
		await checkCompleted(server.address, trialId, records);
	});
});
