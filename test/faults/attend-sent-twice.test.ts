import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ProgressService } from "../../src/gen/millrace/v1/progress_service_pb.js";
import {
	CollectiveCaller,
	CollectiveScope,
	CollectiveOperation as Operation,
} from "../../src/gen/millrace/v1/rendezvous_pb.js";
import { TrialState } from "../../src/gen/millrace/v1/trial_pb.js";
import { TrialService } from "../../src/gen/millrace/v1/trial_service_pb.js";
import { attendRanks, joinOf, memberAs, runtime, user } from "../rendezvous/attend-ranks.js";
import { startTrial } from "../server/start-trial.js";
import { type CutProxy, startCutProxy } from "../support/cut-proxy.js";
import { readTables } from "../support/read-tables.js";
import { startTestServer, type TestServer } from "../support/start-test-server.js";
import { waitUntil } from "../support/wait-until.js";

describe("what a worker sends again after its connection broke", { timeout: 60_000 }, () => {
	/** Breaks the wire while it holds an answer back, and mends it. */
	function loseAnswer(proxy: CutProxy): void {
		proxy.cut("reset");
		proxy.resume();
	}

	it("counts a join once", async () => {
		// Of its own: what the workers of another test leave changes rows later.
		const server = await startTestServer();
		const proxy = await startCutProxy(server.address);
		const trialId = await startTrial(server);
		const join = joinOf({ trialId, worldSize: 2, rank: 0 });
		const first = memberAs(proxy.address, join);
		await waitUntil("the first join", async () => (await joinedCount(server, trialId)) === 1);
		loseAnswer(proxy);
		await waitUntil("the way back", () => proxy.connectionCount > 0);
		const second = await memberAs(server.address, { trialId, worldSize: 2, rank: 1 });
		assert.deepEqual([(await first).peers.length, second.peers.length], [2, 2]);
		assert.equal(await joinedCount(server, trialId), 2);
		const { members = [] } = await readTables(server.dataDirectory);
		const ours = (members as { trial_id: number; gone_time: number | null }[]).filter(
			(row) => row.trial_id === trialId,
		);
		assert.deepEqual(
			ours.map((row) => row.gone_time),
			[null, null],
		);
	});

	it("counts a contribution once, and answers it again", async () => {
		const server = await startTestServer();
		const proxy = await startCutProxy(server.address);
		const trialId = await startTrial(server);
		const [a, b] = await attendRanks([proxy.address, server.address], { trialId, worldSize: 2 });
		proxy.pause("server");
		const cutOff = user(a, Operation.ALLGATHER, "a");
		// Its answer shows that the server has both.
		assert.deepEqual(await user(b, Operation.ALLGATHER, "b"), ["a", "b"]);
		loseAnswer(proxy);
		assert.deepEqual(await cutOff, ["a", "b"]);
		const next = [user(a, Operation.ALLGATHER, "c"), user(b, Operation.ALLGATHER, "d")];
		assert.deepEqual(await Promise.all(next), [
			["c", "d"],
			["c", "d"],
		]);
	});

	it("decides on preemption once", async () => {
		const server = await startTestServer();
		const proxy = await startCutProxy(server.address);
		const trialId = await startTrial(server);
		const [member] = await attendRanks([proxy.address], { trialId, worldSize: 1 });
		const trials = server.client(TrialService);
		await trials.pauseTrial({ trialId });
		proxy.pause("server");
		const barrier = runtime(member, Operation.STEP);
		await stateIs(server, trialId, TrialState.PAUSED);
		const before = await readTables(server.dataDirectory);
		loseAnswer(proxy);
		assert.equal((await barrier).preempted, true);
		assert.deepEqual(await readTables(server.dataDirectory), before);
	});

	it("finishes once, and reports the results once", async () => {
		const server = await startTestServer();
		const proxy = await startCutProxy(server.address);
		const trialId = await startTrial(server);
		const memberUuid = joinOf({}).memberUuid ?? "";
		const rendezvous = await memberAs(proxy.address, { trialId, memberUuid, worldSize: 1 });
		const member = { trialId, trialRunId: rendezvous.trialRunId, rank: 0, memberUuid };
		const progress = server.client(ProgressService);
		await progress.beginProgress({
			member,
			plan: { recordCount: 1n },
			options: { batchSize: 1, checkpointInterval: 1, onError: 1 },
		});
		await progress.commit({ member, commitNumber: 1, step: 1, ranges: [{ first: 0n, end: 1n }] });
		proxy.pause("server");
		const finish = rendezvous.collective({
			scope: CollectiveScope.WORLD,
			caller: CollectiveCaller.RUNTIME,
			operation: Operation.FINISH,
			results: [{ group: "validation", metricsJson: '{"accuracy":0.5}' }],
		});
		await stateIs(server, trialId, TrialState.COMPLETED);
		const before = await readTables(server.dataDirectory);
		loseAnswer(proxy);
		await finish;
		assert.deepEqual(await readTables(server.dataDirectory), before);
		assert.equal(before.metric_reports?.filter((row) => (row as { trial_id: number }).trial_id === trialId).length, 1);
	});
});

async function joinedCount(server: TestServer, trialId: number): Promise<number> {
	const trialRun = await server
		.client(TrialService)
		.getTrialRun({ trialId, trialRunId: 1 })
		.then((answer) => answer.trialRun)
		.catch(() => undefined);
	return trialRun?.joinedCount ?? 0;
}

async function stateIs(server: TestServer, trialId: number, state: TrialState): Promise<void> {
	const trials = server.client(TrialService);
	await waitUntil(
		`the state ${TrialState[state]}`,
		async () => (await trials.getTrial({ trialId })).trial?.state === state,
	);
}
