import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import { TrialRunState, TrialState } from "../../src/gen/millrace/v1/trial_pb.js";
import { TrialService } from "../../src/gen/millrace/v1/trial_service_pb.js";
import { startTestServer, type TestServer } from "../support/start-test-server.js";
import { waitUntil } from "../support/wait-until.js";
import { joinRun, startTrial } from "./start-trial.js";

const leaseMs = 500;
const owner = { ownerHost: "node-a", ownerUuid: randomUUID(), ownerPid: 42 };

function runOf(server: TestServer, trialId: number) {
	return server
		.client(TrialService)
		.getTrialRun({ trialId, trialRunId: 1 })
		.then(({ trialRun }) => ({ state: trialRun?.state, reason: trialRun?.reason }));
}

async function verdictOn(server: TestServer, trialId: number): Promise<string | undefined> {
	await waitUntil("the verdict", async () => (await runOf(server, trialId)).state === TrialRunState.FAILED);
	return (await runOf(server, trialId)).reason;
}

describe("a run that nobody attends to", { timeout: 60_000 }, () => {
	it("is closed by the server where its owner is gone before a worker came, and a script's run is not", async () => {
		const server = await startTestServer({ leaseMs });
		const trials = server.client(TrialService);
		const [owned, script] = [await startTrial(server), await startTrial(server)];
		await trials.startTrialRun({ trialId: script });
		await trials.startTrialRun({ trialId: owned, worldSize: 2, ...owner });
		assert.equal(await verdictOn(server, owned), "its owner, a process on node-a (pid 42), is gone");
		assert.equal((await runOf(server, script)).state, TrialRunState.RUNNING);
		await assert.rejects(trials.startTrialRun({ trialId: script, worldSize: 1 }), {
			code: "failed_precondition",
			message: /run 1 of trial 2 is open, .*; end it first \(EndTrialRun\), or kill the trial/,
		});
	});

	it("is closed by the server that is started after all of its members went, though its owner lives", async () => {
		const before = await startTestServer({ leaseMs });
		const trialId = await startTrial(before);
		await before.client(TrialService).startTrialRun({ trialId, worldSize: 1, ...owner });
		await joinRun(before, trialId, { trialRunId: 1 });
		await before.close();
		const server = await startTestServer({ leaseMs, dataDirectory: before.dataDirectory });
		const trials = server.client(TrialService);
		const keep = { trialId, trialRunId: 1, ownerUuid: owner.ownerUuid };
		const beats = setInterval(() => void trials.keepTrialRun(keep).catch(() => {}), leaseMs / 5);
		try {
			assert.match((await verdictOn(server, trialId)) ?? "", /its workers are gone, and did not come back/);
		} finally {
			clearInterval(beats);
		}
		const { trial } = await trials.getTrial({ trialId });
		assert.deepEqual([trial?.state, trial?.restarts], [TrialState.ACTIVE, 1]);
	});
});
