import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import { TrialRunState, TrialState } from "../../../src/gen/millrace/v1/trial_pb.js";
import { TrialService } from "../../../src/gen/millrace/v1/trial_service_pb.js";
import { startTestServer } from "../../support/start-test-server.js";
import { tempDir } from "../../support/temp-dir.js";
import { joinRun, startTrial } from "../start-trial.js";

const leaseMs = 500;
const owner = () => ({ ownerHost: "node-a", ownerUuid: randomUUID(), ownerPid: 42 });

/** A server with a short lease, and a trial whose run 1 is open and owned, with workers that are still to come. */
async function openRun(options: { worldSize?: number; owned?: boolean } = {}) {
	const server = await startTestServer({ leaseMs });
	const trials = server.client(TrialService);
	const trialId = await startTrial(server);
	const { worldSize = 2, owned = true } = options;
	const first = { requestId: randomUUID(), trialId, worldSize, ...(owned ? owner() : {}) };
	const { trialRun } = await trials.startTrialRun(first);
	assert.equal(trialRun?.trialRunId, 1);
	return { server, trials, trialId, first };
}

async function elapsedMs(work: () => Promise<unknown>): Promise<number> {
	const start = performance.now();
	await work();
	return performance.now() - start;
}

describe("StartTrialRun where a run is open", { timeout: 60_000 }, () => {
	it("is refused while the owner lives, and names its host and process", async () => {
		const { trials, trialId, first } = await openRun();
		const beats = setInterval(() => void trials.keepTrialRun({ ...first, trialRunId: 1 }).catch(() => {}), leaseMs / 5);
		try {
			await assert.rejects(trials.startTrialRun({ trialId, worldSize: 2, ...owner() }), {
				code: "failed_precondition",
				message: /run 1 of trial 1 is open, and a process on node-a \(pid 42\) owns it; end that process first/,
			});
		} finally {
			clearInterval(beats);
		}
		const { trialRun } = await trials.getTrialRun({ trialId, trialRunId: 1 });
		assert.deepEqual([trialRun?.state, trialRun?.ownerHost], [TrialRunState.FORMING, "node-a"]);
	});

	it("closes it as FAILED once the owner was silent for its lease, and starts the next", async () => {
		const { trials, trialId } = await openRun();
		const request = { requestId: randomUUID(), trialId, worldSize: 1, ...owner() };
		let answers: Awaited<ReturnType<typeof trials.startTrialRun>>[] = [];
		const tookMs = await elapsedMs(async () => {
			answers = await Promise.all([trials.startTrialRun(request), trials.startTrialRun(request)]);
		});
		assert.ok(tookMs >= leaseMs - 50 && tookMs < leaseMs + 3_000, `${tookMs} ms`);
		assert.deepEqual(
			answers.map(({ trialRun }) => trialRun?.trialRunId),
			[2, 2],
		);
		const { trialRun } = await trials.getTrialRun({ trialId, trialRunId: 1 });
		assert.deepEqual(
			[trialRun?.state, trialRun?.reason],
			[TrialRunState.FAILED, "its owner, a process on node-a (pid 42), is gone"],
		);
		const { trial } = await trials.getTrial({ trialId });
		assert.deepEqual([trial?.state, trial?.trialRunId], [TrialState.ACTIVE, 2]);
	});

	it("closes it as FAILED so for RetryTrialErrors too", async () => {
		const { trials, trialId } = await openRun();
		const retry = { requestId: randomUUID(), trialId };
		assert.equal((await trials.retryTrialErrors(retry)).removedCount, 0n);
		const { trialRun } = await trials.getTrialRun({ trialId, trialRunId: 1 });
		assert.equal(trialRun?.state, TrialRunState.FAILED);
		assert.equal((await trials.startTrialRun({ trialId, worldSize: 1, ...owner() })).trialRun?.trialRunId, 2);
		// A repetition gets its answer, and touches no run.
		assert.equal((await trials.retryTrialErrors(retry)).removedCount, 0n);
		assert.equal((await trials.getTrialRun({ trialId, trialRunId: 2 })).trialRun?.state, TrialRunState.FORMING);
	});

	it("takes a run without owner and members for abandoned after as long", async () => {
		const { trials, trialId } = await openRun({ owned: false });
		const { trialRun } = await trials.startTrialRun({ trialId, worldSize: 1 });
		assert.equal(trialRun?.trialRunId, 2);
	});

	it("is refused while a member is there, though the owner is gone", async () => {
		const { server, trials, trialId } = await openRun({ worldSize: 1 });
		const [worker] = await joinRun(server, trialId, { trialRunId: 1 });
		const alive = setInterval(() => worker?.beat(), leaseMs / 5);
		try {
			await assert.rejects(trials.startTrialRun({ trialId, worldSize: 1, ...owner() }), {
				message: /run 1 of trial 1 is open, and .* owns it/,
			});
		} finally {
			clearInterval(alive);
		}
		await worker?.leave("enough");
		assert.equal((await trials.startTrialRun({ trialId, worldSize: 1 })).trialRun?.trialRunId, 2);
	});

	it("gives every owner one lease after a restart of the server", async () => {
		const dataDirectory = tempDir();
		const before = await startTestServer({ leaseMs, dataDirectory });
		const trialId = await startTrial(before);
		const first = { trialId, worldSize: 1, ...owner() };
		await before.client(TrialService).startTrialRun(first);
		await before.close();
		const after = await startTestServer({ leaseMs, dataDirectory });
		const trials = after.client(TrialService);
		const beats = setInterval(() => void trials.keepTrialRun({ ...first, trialRunId: 1 }).catch(() => {}), leaseMs / 5);
		try {
			await assert.rejects(trials.startTrialRun({ trialId, ...owner() }), { code: "failed_precondition" });
		} finally {
			clearInterval(beats);
		}
		const { leaseMs: told } = await trials.keepTrialRun({ ...first, trialRunId: 1 });
		assert.equal(told, leaseMs);
		assert.equal((await trials.startTrialRun({ trialId, worldSize: 1, ...owner() })).trialRun?.trialRunId, 2);
	});
});

describe("KeepTrialRun", { timeout: 60_000 }, () => {
	it("is refused to who does not own the run, and to who was followed by another", async () => {
		const { trials, trialId, first } = await openRun();
		await assert.rejects(trials.keepTrialRun({ trialId, trialRunId: 1, ownerUuid: randomUUID() }), {
			code: "failed_precondition",
			message: /run 1 of trial 1 is owned by another process/,
		});
		await trials.startTrialRun({ trialId, ...owner(), ownerHost: "node-b" });
		await assert.rejects(trials.keepTrialRun({ ...first, trialRunId: 1 }), {
			code: "failed_precondition",
			message: /run 1 of trial 1 is over, and a process on node-b \(pid 42\) has started run 2/,
		});
	});
});
