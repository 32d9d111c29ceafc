import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { ProgressService } from "../../../src/gen/millrace/v1/progress_service_pb.js";
import {
	CollectiveCaller,
	CollectiveScope,
	CollectiveOperation as Operation,
} from "../../../src/gen/millrace/v1/rendezvous_pb.js";
import type { MemberActivity } from "../../../src/gen/millrace/v1/trial_activity_pb.js";
import { TrialRunState, TrialState } from "../../../src/gen/millrace/v1/trial_pb.js";
import { TrialService } from "../../../src/gen/millrace/v1/trial_service_pb.js";
import { attendRanks, memberAs, runtime, user } from "../../rendezvous/attend-ranks.js";
import { startCutProxy } from "../../support/cut-proxy.js";
import { errorWith } from "../../support/error-with.js";
import { startTestServer, type TestServer } from "../../support/start-test-server.js";
import { waitUntil } from "../../support/wait-until.js";
import { startTrial } from "../start-trial.js";

/** A heartbeat comes at least five times as often. */
const leaseMs = 3_000;

const server = await startTestServer({ leaseMs });

async function activityOf(trialId: number, from: Pick<TestServer, "client"> = server) {
	const { activity } = await from.client(TrialService).getTrialActivity({ trialId });
	assert.ok(activity);
	return activity;
}

/** Waits until a member of the trial's run fits. */
function memberThat(trialId: number, fits: (member: MemberActivity) => boolean): Promise<MemberActivity> {
	return waitUntil("a member that fits", async () => (await activityOf(trialId)).members.find(fits));
}

/** Two workers of a run over 100 records, who have begun. */
async function startRun() {
	const trialId = await startTrial(server);
	const uuids = [randomUUID(), randomUUID()];
	const members = await Promise.all(
		uuids.map((memberUuid, rank) => memberAs(server.address, { trialId, worldSize: 2, rank, memberUuid })),
	);
	const [zero, one] = members;
	assert.ok(zero && one);
	const idOf = (rank: number) => ({ trialId, trialRunId: 1, rank, memberUuid: uuids[rank] ?? "" });
	const progress = server.client(ProgressService);
	await progress.beginProgress({
		member: idOf(0),
		plan: { recordCount: 100n },
		options: { batchSize: 10, checkpointInterval: 1 },
	});
	let done = 0;
	const commit = async (rank: number, commitNumber: number, step: number, records = 10) => {
		const first = BigInt(done);
		done += records;
		const ranges = records === 0 ? [] : [{ first, end: BigInt(done) }];
		await progress.commit({ member: idOf(rank), commitNumber, step, ranges, finish: records === 0 });
	};
	return { trialId, zero, one, commit };
}

describe("GetTrialActivity", { timeout: 60_000 }, () => {
	it("tells of a trial that has no run, and of one that nobody has joined", async () => {
		const trialId = await startTrial(server);
		const { time, ...waiting } = await activityOf(trialId);
		assert.ok(time && Math.abs(timestampMs(time) - Date.now()) < 60_000);
		assert.deepEqual(
			[waiting.state, waiting.trialRun, waiting.members, waiting.recordsTotal, waiting.experimentName],
			[TrialState.ACTIVE, undefined, [], 0n, "test"],
		);
		assert.deepEqual([waiting.leaseMs, waiting.maxRestarts, waiting.recordsPerSecond], [leaseMs, 5, undefined]);
		await server.client(TrialService).startTrialRun({ trialId, worldSize: 2, ownerHost: "desk", ownerPid: 7 });
		const { trialRun, members, joinDeadline } = await activityOf(trialId);
		assert.deepEqual(
			[trialRun?.state, trialRun?.worldSize, trialRun?.ownerHost, members, joinDeadline],
			[TrialRunState.FORMING, 2, "desk", [], undefined],
		);
		await server.client(TrialService).pauseTrial({ trialId });
		assert.equal((await activityOf(trialId)).pauseRequested, true);
		await server.client(TrialService).killTrial({ trialId });
		const ended = await activityOf(trialId);
		assert.deepEqual([ended.state, ended.trialRun?.state], [TrialState.CANCELED, TrialRunState.KILLED]);
	});

	it("refuses what is no trial", async () => {
		await assert.rejects(activityOf(0), errorWith("invalid_argument", /^trial_id is 0/));
		await assert.rejects(activityOf(99_999), errorWith("not_found", /^trial 99999 not found$/));
	});

	it("tells who has joined a run that is forming, and until when the others may", async () => {
		const trialId = await startTrial(server);
		const first = memberAs(server.address, { trialId, worldSize: 2, rank: 1, joinTimeoutMs: 50_000 });
		const member = await memberThat(trialId, ({ rank }) => rank === 1);
		assert.deepEqual([member.host, member.pid, member.connected, member.finished], ["host-1", 4_001, true, false]);
		const { time, joinDeadline } = await activityOf(trialId);
		assert.ok(time && joinDeadline);
		const left = timestampMs(joinDeadline) - timestampMs(time);
		assert.ok(left > 20_000 && left <= 50_000, `${left} ms`);
		await memberAs(server.address, { trialId, worldSize: 2, rank: 0 });
		await first;
		assert.equal((await activityOf(trialId)).joinDeadline, undefined);
	});

	it("tells what each member is at and since when, by what it last told", async () => {
		const { trialId, zero, one } = await startRun();
		zero.beginStep({ step: 3, first: 30, end: 40, isLoading: true });
		one.beginStep({ step: 3, first: 40, end: 50 });
		const begun = Date.now();
		// No message about it goes off before.
		while (Date.now() < begun + 5);
		const loading = await memberThat(trialId, ({ rank, inFlight }) => rank === 0 && inFlight !== undefined);
		const processing = await memberThat(trialId, ({ rank, inFlight }) => rank === 1 && inFlight !== undefined);
		assert.deepEqual(
			[loading.step, loading.inFlight?.first, loading.inFlight?.end, loading.loading],
			[3, 30n, 40n, true],
		);
		assert.deepEqual([processing.step, processing.inFlight?.first, processing.loading], [3, 40n, false]);
		for (const { unchangedSince, heardTime } of [loading, processing]) {
			assert.ok(unchangedSince && heardTime);
			// The member's own word, not when the server heard of it first.
			assert.ok(timestampMs(unchangedSince) < timestampMs(heardTime));
			assert.ok(timestampMs(unchangedSince) >= begun - 20);
		}
		zero.endStep();
		const idle = await memberThat(trialId, ({ rank, inFlight }) => rank === 0 && inFlight === undefined);
		assert.equal(idle.loading, false);
	});

	it("tells what a member is at that meets the others all the time", async () => {
		const { trialId, zero, one } = await startRun();
		let isKnown = false;
		const meetings = (async () => {
			for (let step = 1; !isKnown; step++) {
				one.beginStep({ step, first: step, end: step + 1 });
				await Promise.all([user(zero, Operation.ALLGATHER), user(one, Operation.ALLGATHER)]);
			}
		})();
		const { heardTime, toldTime } = await memberThat(trialId, ({ inFlight }) => inFlight !== undefined);
		isKnown = true;
		await meetings;
		assert.ok(heardTime && toldTime && timestampMs(heardTime) >= timestampMs(toldTime));
	});

	it("tells what each has committed, when last, and how fast", async () => {
		const { trialId, commit } = await startRun();
		await commit(0, 1, 1);
		const { members: first, recordsPerSecond: none } = await activityOf(trialId);
		assert.deepEqual(
			first.map((member) => [member.recordsDone, member.lastCommitStep, member.recordsPerSecond]),
			[
				[10n, 1, undefined],
				[0n, 0, undefined],
			],
		);
		assert.ok(first[0]?.lastCommitTime && first[1]?.lastCommitTime === undefined);
		assert.equal(none, undefined);
		const before = timestampMs(first[0].lastCommitTime);
		await waitUntil("some time to pass", () => Date.now() > before + 50);
		await commit(0, 2, 2);
		const { members, recordsPerSecond, recordsDone, recordsTotal, progress } = await activityOf(trialId);
		const [zero] = members;
		assert.deepEqual([recordsDone, recordsTotal, progress, zero?.recordsDone], [20n, 100n, 0.2, 20n]);
		const seconds = (timestampMs(zero?.lastCommitTime ?? first[0].lastCommitTime) - before) / 1_000;
		const rate = zero?.recordsPerSecond ?? 0;
		assert.ok(rate > 0 && rate <= 10 / seconds + 0.001, `${rate} in ${seconds} s`);
		assert.equal(recordsPerSecond, rate);
	});

	it("tells who waits for whom, and that a worker has finished", async () => {
		const { trialId, zero, one, commit } = await startRun();
		const gathered = user(zero, Operation.ALLGATHER);
		const operation = await waitUntil("an operation", async () => (await activityOf(trialId)).pendingOperations[0]);
		assert.deepEqual(
			[operation.channel?.caller, operation.channel?.scope, operation.operation, operation.number],
			[CollectiveCaller.USER, CollectiveScope.WORLD, Operation.ALLGATHER, 1],
		);
		assert.deepEqual([operation.waitingRanks, operation.missingRanks], [[0], [1]]);
		await Promise.all([gathered, user(one, Operation.ALLGATHER)]);
		const { pendingOperations } = await activityOf(trialId);
		assert.deepEqual(pendingOperations, []);
		await commit(0, 1, 5, 100);
		await commit(0, 2, 5, 0);
		await commit(1, 1, 5, 0);
		assert.deepEqual(
			(await activityOf(trialId)).members.map(({ finished }) => finished),
			[true, true],
		);
		await Promise.all([runtime(zero, Operation.FINISH), runtime(one, Operation.FINISH)]);
		const ended = await activityOf(trialId);
		assert.deepEqual(
			[ended.state, ended.trialRun?.state, ended.members, ended.recordsDone],
			[TrialState.COMPLETED, TrialRunState.COMPLETED, [], 100n],
		);
	});

	it("tells which members have not come back to a server that was started again", async () => {
		const first = await startTestServer({ leaseMs: 20_000 });
		const trialId = await startTrial(first);
		const wires = [await startCutProxy(first.address), await startCutProxy(first.address)] as const;
		await attendRanks([wires[0].address, wires[1].address], { trialId, worldSize: 2 });
		for (const wire of wires) {
			wire.cut();
		}
		await first.close();
		const port = Number(first.address.split(":")[1]);
		const next = await startTestServer({ dataDirectory: first.dataDirectory, port, leaseMs: 20_000 });
		const { members: nobody, trialRun } = await activityOf(trialId, next);
		assert.equal(trialRun?.state, TrialRunState.RUNNING);
		assert.deepEqual(
			nobody.map(({ rank, connected, heardTime }) => [rank, connected, heardTime]),
			[
				[0, false, undefined],
				[1, false, undefined],
			],
		);
		wires[1].resume();
		const half = await waitUntil("rank 1 to be back", async () => {
			const activity = await activityOf(trialId, next);
			return activity.members[1]?.connected === true ? activity : undefined;
		});
		assert.equal(half.members[0]?.connected, false);
		assert.ok(half.joinDeadline && half.time && timestampMs(half.joinDeadline) - timestampMs(half.time) <= 20_000);
		wires[0].resume();
		await waitUntil("rank 0 to be back", async () => (await activityOf(trialId, next)).members[0]?.connected);
	});
});
