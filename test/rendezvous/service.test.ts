import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, describe, it } from "node:test";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { ProgressService } from "../../src/gen/millrace/v1/progress_service_pb.js";
import {
	CollectiveCaller,
	CollectiveScope,
	CollectiveOperation as Operation,
} from "../../src/gen/millrace/v1/rendezvous_pb.js";
import { type AttendRequestSchema, RendezvousService } from "../../src/gen/millrace/v1/rendezvous_service_pb.js";
import { TrialRunState, TrialState } from "../../src/gen/millrace/v1/trial_pb.js";
import { TrialService } from "../../src/gen/millrace/v1/trial_service_pb.js";
import type { JoinInit, RendezvousMember } from "../../src/rendezvous/client.js";
import { startTrial } from "../server/start-trial.js";
import { errorWith } from "../support/error-with.js";
import { startTestServer, type TestServer } from "../support/start-test-server.js";
import { waitUntil } from "../support/wait-until.js";
import { attendAs, attendRanks, joinOf, memberAs, runtime, user } from "./attend-ranks.js";

const mebibyte = 1024 * 1024;

async function startRun(worldSize: number, join: JoinInit = {}) {
	const server = await startTestServer();
	const trialId = await startTrial(server);
	const members = await attendRanks([server.address], { ...join, trialId, worldSize });
	return { server, trialId, members };
}

/** The state of a trial, and of one of its runs. */
async function statesOf(server: TestServer, trialId: number, trialRunId = 1) {
	const trials = server.client(TrialService);
	const { trialRun } = await trials.getTrialRun({ trialId, trialRunId });
	const { trial } = await trials.getTrial({ trialId });
	return {
		run: TrialRunState[trialRun?.state ?? 0],
		reason: trialRun?.reason,
		joinedCount: trialRun?.joinedCount,
		trial: TrialState[trial?.state ?? 0],
		lastRunId: trial?.trialRunId,
	};
}

const aborted = (reason: RegExp) => errorWith("aborted", reason);

/** Says so once a promise has settled. */
function watch(promise: Promise<unknown>): () => boolean {
	let isSettled = false;
	const settle = () => {
		isSettled = true;
	};
	promise.then(settle, settle);
	return () => isSettled;
}

/** The same promise, expected to fail like this. */
function fails(members: readonly RendezvousMember[], act: (member: RendezvousMember) => Promise<unknown>, why: RegExp) {
	return Promise.all(members.map((member) => assert.rejects(act(member), aborted(why))));
}

describe("RendezvousService: joining", { timeout: 120_000 }, () => {
	it("starts the run when all are there, and tells each who the others are", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		const join = (rank: number, nodeRank: number, localRank: number) =>
			memberAs(server.address, { trialId, rank, worldSize: 3, nodeRank, localRank, localWorldSize: 2 - nodeRank });
		const others = [join(2, 1, 0), join(0, 0, 0)];
		const settled = others.map(watch);
		await waitUntil("two to be there", async () => {
			const { run, joinedCount } = await statesOf(server, trialId).catch(() => ({ run: "", joinedCount: 0 }));
			return run === "FORMING" && joinedCount === 2;
		});
		assert.deepEqual(
			settled.map((isSettled) => isSettled()),
			[false, false],
		);
		const members = await Promise.all([...others, join(1, 0, 1)]);
		for (const member of members) {
			assert.equal(member.trialRunId, 1);
			assert.deepEqual(
				member.peers.map(({ rank, nodeRank, localRank, host }) => [rank, nodeRank, localRank, host]),
				[
					[0, 0, 0, "host-0"],
					[1, 0, 1, "host-1"],
					[2, 1, 0, "host-2"],
				],
			);
		}
		assert.equal((await statesOf(server, trialId)).run, "RUNNING");
	});

	it("brings workers that name a run of StartTrialRun to that run", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		await server.client(TrialService).startTrialRun({ trialId, worldSize: 2 });
		const members = await attendRanks([server.address], { trialId, trialRunId: 1, worldSize: 2 });
		assert.deepEqual(
			members.map(({ trialRunId }) => trialRunId),
			[1, 1],
		);
	});

	const wrong: [what: string, join: JoinInit, code: Parameters<typeof errorWith>[0], message: RegExp][] = [
		[
			"a rank that is not below the world size",
			{ rank: 2, worldSize: 2, localRank: 0 },
			"invalid_argument",
			/rank is 2/,
		],
		["a negative rank", { rank: -1, localRank: 0 }, "invalid_argument", /rank is -1/],
		["no workers", { worldSize: 0 }, "invalid_argument", /world_size is 0/],
		["a local rank beyond its node", { localRank: 1 }, "invalid_argument", /local_rank is 1/],
		["a node larger than the world", { localWorldSize: 2 }, "invalid_argument", /local_world_size is 2/],
		["no uuid", { memberUuid: "" }, "invalid_argument", /member_uuid is ""; it must be a UUID/],
		["a negative timeout", { joinTimeoutMs: -5 }, "invalid_argument", /join_timeout_ms is -5/],
		["no trial", { trialId: 0 }, "invalid_argument", /trial_id is 0/],
		["a trial that does not exist", { trialId: 77 }, "not_found", /trial 77 not found/],
		["a run that does not exist", { trialRunId: 5 }, "not_found", /trial 1 has no run 5/],
	];
	for (const [what, join, code, message] of wrong) {
		it(`refuses ${what} with ${code}`, async () => {
			const server = await startTestServer();
			const trialId = await startTrial(server);
			await assert.rejects(memberAs(server.address, { trialId, ...join }), errorWith(code, message));
			assert.equal((await server.client(TrialService).getTrial({ trialId })).trial?.trialRunId, 0, "a run was started");
			assert.deepEqual(server.logged, []);
		});
	}

	it("refuses another world size than the run's, and the run goes on", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		await server.client(TrialService).startTrialRun({ trialId, worldSize: 2 });
		await assert.rejects(
			memberAs(server.address, { trialId, worldSize: 3 }),
			errorWith("failed_precondition", /the world size is 3, but run 1 of trial 1 has 2 workers/),
		);
		assert.equal((await attendRanks([server.address], { trialId, worldSize: 2 })).length, 2);
	});

	it("refuses a paused and a canceled trial, and a worker of an older run", async () => {
		const server = await startTestServer();
		const trials = server.client(TrialService);
		const trialId = await startTrial(server);
		await trials.pauseTrial({ trialId });
		await assert.rejects(
			memberAs(server.address, { trialId }),
			errorWith("failed_precondition", /trial 1 is paused; activate it first/),
		);
		await trials.activateTrial({ trialId });
		await (await memberAs(server.address, { trialId })).leave("first");
		await memberAs(server.address, { trialId });
		await assert.rejects(
			memberAs(server.address, { trialId, trialRunId: 1 }),
			errorWith("failed_precondition", /run 1 of trial 1 is over, and run 2 is open/),
		);
		await trials.killTrial({ trialId });
		await assert.rejects(
			memberAs(server.address, { trialId }),
			errorWith("failed_precondition", /trial 1 is canceled/),
		);
	});

	it("fails the run when not all came in time, and names the absent ranks", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		const join = { trialId, worldSize: 4, joinTimeoutMs: 400 };
		const late = errorWith("deadline_exceeded", /^of 4 workers, rank 0, 2 did not join in time$/);
		await Promise.all([1, 3].map((rank) => assert.rejects(memberAs(server.address, { ...join, rank }), late)));
		const { run, reason, trial } = await statesOf(server, trialId);
		assert.deepEqual([run, trial], ["FAILED", "ACTIVE"]);
		assert.match(reason ?? "", /rank 0, 2 did not join/);
		const members = await attendRanks([server.address], { trialId, worldSize: 2 });
		assert.equal(members[0]?.trialRunId, 2);
	});

	it("lets the second process of a rank wait, and take over when the first goes while the run is forming", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		const first = server.client(RendezvousService).attend();
		first.send({ message: { case: "join", value: joinOf({ trialId, worldSize: 2, host: "first" }) } });
		const messages = first[Symbol.asyncIterator]();
		assert.equal((await messages.next()).value?.message.case, "joined");
		const before = server.connectionCount;
		const second = memberAs(server.address, { trialId, worldSize: 2, host: "second" });
		const isSettled = watch(second);
		await waitUntil("the second to be connected", () => server.connectionCount > before);
		first.cancel();
		await waitUntil("the second to be a member", async () => (await statesOf(server, trialId)).joinedCount === 2);
		assert.equal(isSettled(), false);
		const other = await memberAs(server.address, { trialId, worldSize: 2, rank: 1 });
		await second;
		assert.deepEqual(
			other.peers.map(({ host }) => host),
			["second", "host-1"],
		);
	});

	it("frees the rank of a worker that leaves while the run is forming", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		const first = server.client(RendezvousService).attend();
		first.send({ message: { case: "join", value: joinOf({ trialId, worldSize: 2 }) } });
		await first[Symbol.asyncIterator]().next();
		first.send({ message: { case: "leave", value: { reason: "changed its mind" } } });
		const members = await attendRanks([server.address], { trialId, worldSize: 2 });
		assert.equal(members[0]?.trialRunId, 1);
	});

	it("tells the verdict of a trial that was completed before", async () => {
		const { server, trialId } = await finishedTrial();
		const attendance = await attendAs(server.address, { trialId, worldSize: 5 });
		assert.equal(attendance.kind === "ended" && attendance.ended.state, TrialRunState.COMPLETED);
		assert.equal(attendance.kind === "ended" && attendance.ended.trialRunId, 1);
	});

	type Sent = MessageInitShape<typeof AttendRequestSchema>;
	const leave: Sent = { message: { case: "leave", value: {} } };
	const join: Sent = { message: { case: "join", value: joinOf({ trialId: 1 }) } };
	const contribution = (value: object): Sent => ({ message: { case: "contribution", value } });
	const channel = { scope: CollectiveScope.WORLD, caller: CollectiveCaller.USER };
	const rude: [what: string, messages: Sent[], message: RegExp][] = [
		["anything before the join", [leave], /the first message of Attend must be a join/],
		["an empty message", [{}], /the first message of Attend must be a join/],
		["a second join", [join, join], /after the join/],
		["a contribution without a channel", [join, contribution({ number: 1, operation: 1 })], /contribution\.channel/],
		[
			"a contribution without an operation",
			[join, contribution({ channel, number: 1 })],
			/contribution\.operation is 0/,
		],
		[
			"an unknown operation",
			[join, contribution({ channel, number: 1, operation: 9 })],
			/contribution\.operation is 9/,
		],
		["the operation number 0", [join, contribution({ channel, operation: 1 })], /contribution\.number is 0/],
	];
	for (const [what, messages, message] of rude) {
		it(`refuses ${what} with invalid_argument`, async () => {
			const server = await startTestServer();
			await startTrial(server);
			const call = server.client(RendezvousService).attend();
			after(() => call.cancel());
			for (const sent of messages) {
				call.send(sent);
			}
			await assert.rejects(
				async () => {
					for await (const { message } of call) {
						assert.ok(message.case === "joined" || message.case === "started", message.case);
					}
				},
				errorWith("invalid_argument", message),
			);
		});
	}
});

/** A trial without records whose only run two workers have finished. */
async function finishedTrial() {
	const server = await startTestServer();
	const trialId = await startTrial(server);
	const uuids = [randomUUID(), randomUUID()];
	const members = await Promise.all(
		uuids.map((memberUuid, rank) => memberAs(server.address, { trialId, worldSize: 2, rank, memberUuid })),
	);
	await server.client(ProgressService).beginProgress({
		member: { trialId, trialRunId: 1, rank: 0, memberUuid: uuids[0] ?? "" },
		plan: { recordCount: 0n },
		options: { batchSize: 1, checkpointInterval: 1 },
	});
	const results = await Promise.all(members.map((member) => runtime(member, Operation.FINISH)));
	return { server, trialId, members, results };
}

describe("RendezvousService: collective operations", { timeout: 120_000 }, () => {
	it("gives each of three what it is due, in rank order", async () => {
		const { members } = await startRun(3);
		const all = (operation: Operation) =>
			Promise.all(members.map((member, rank) => user(member, operation, `from ${rank}`)));
		const everything = ["from 0", "from 1", "from 2"];
		assert.deepEqual(await all(Operation.GATHER), [everything, [], []]);
		assert.deepEqual(await all(Operation.ALLGATHER), [everything, everything, everything]);
		assert.deepEqual(await all(Operation.BROADCAST), [["from 0"], ["from 0"], ["from 0"]]);
	});

	it("keeps empty payloads, and the order of operations that are not awaited", async () => {
		const { members } = await startRun(3);
		const rounds = await Promise.all(
			members.flatMap((member, rank) => [
				user(member, Operation.ALLGATHER),
				user(member, Operation.ALLGATHER, `${rank}`),
				user(member, Operation.BROADCAST, `b${rank}`),
			]),
		);
		const expected = [["", "", ""], ["0", "1", "2"], ["b0"]];
		assert.deepEqual(rounds, [...expected, ...expected, ...expected]);
	});

	it("keeps the nodes, and the runtime and the user's code, apart", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		const places = [
			{ rank: 0, nodeRank: 0, localRank: 0, localWorldSize: 2 },
			{ rank: 1, nodeRank: 0, localRank: 1, localWorldSize: 2 },
			{ rank: 2, nodeRank: 1, localRank: 0, localWorldSize: 1 },
		];
		const [zero, one, two] = await Promise.all(
			places.map((place) => memberAs(server.address, { trialId, worldSize: 3, ...place })),
		);
		const node = (member: RendezvousMember | undefined, operation: Operation, payload: string) =>
			user(member, operation, payload, CollectiveScope.NODE);
		assert.deepEqual(await node(two, Operation.ALLGATHER, "2"), ["2"]);
		assert.deepEqual(await node(two, Operation.GATHER, "2"), ["2"]);
		const step = runtime(zero, Operation.STEP);
		const world = user(zero, Operation.ALLGATHER, "w0");
		const local = [node(zero, Operation.GATHER, "0"), node(one, Operation.GATHER, "1")];
		assert.deepEqual(await Promise.all(local), [["0", "1"], []]);
		const [w0, w1, w2] = await Promise.all([
			world,
			user(one, Operation.ALLGATHER, "w1"),
			user(two, Operation.ALLGATHER, "w2"),
		]);
		assert.deepEqual([w0, w1, w2], Array(3).fill(["w0", "w1", "w2"]));
		await Promise.all([step, runtime(one, Operation.STEP), runtime(two, Operation.STEP)]);
	});

	it("carries 16 MiB, and large answers in several messages", async () => {
		const { server, trialId, members } = await startRun(3);
		const given = members.map((member, rank) => ({ member, payload: String(rank).repeat(3 * mebibyte) }));
		const answers = await Promise.all(given.map(({ member, payload }) => user(member, Operation.ALLGATHER, payload)));
		for (const answer of answers) {
			assert.ok(given.every(({ payload }, rank) => answer[rank] === payload));
		}
		const most = "x".repeat(16 * mebibyte);
		const [first] = await Promise.all(members.map((member) => user(member, Operation.BROADCAST, most)));
		assert.ok(first?.length === 1 && first[0] === most);
		assert.equal((await statesOf(server, trialId)).run, "RUNNING");
	});

	it("splits a large answer between payloads, never within one", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		const others = [1, 2].map((rank) => memberAs(server.address, { trialId, worldSize: 3, rank }));
		const call = server.client(RendezvousService).attend();
		after(() => call.cancel());
		call.send({ message: { case: "join", value: joinOf({ trialId, worldSize: 3 }) } });
		const parts: [ranks: number[], more: boolean][] = [];
		for await (const { message } of call) {
			if (message.case === "started") {
				const payload = Buffer.alloc(3 * mebibyte);
				const channel = { scope: CollectiveScope.WORLD, caller: CollectiveCaller.USER };
				call.send({
					message: { case: "contribution", value: { channel, number: 1, operation: Operation.ALLGATHER, payload } },
				});
				for (const other of others) {
					user(await other, Operation.ALLGATHER, "x".repeat(3 * mebibyte)).catch(() => {});
				}
			} else if (message.case === "answer") {
				parts.push([message.value.payloads.map(({ rank }) => rank), message.value.more]);
				if (!message.value.more) {
					break;
				}
			}
		}
		assert.deepEqual(parts, [
			[[0], true],
			[[1], true],
			[[2], false],
		]);
	});

	it("refuses more than 16 MiB with resource_exhausted, and the others learn who it was", async () => {
		const { server, trialId, members } = await startRun(3);
		const [zero, one, two] = members;
		const tooMuch = /contribution\.payload has 16777217 bytes; the most is 16777216/;
		const waiting = [zero, two].map((member) =>
			assert.rejects(user(member, Operation.GATHER), aborted(new RegExp(`rank 1 on host-1 failed: ${tooMuch.source}`))),
		);
		await assert.rejects(
			user(one, Operation.GATHER, "x".repeat(16 * mebibyte + 1)),
			errorWith("resource_exhausted", tooMuch),
		);
		await Promise.all(waiting);
		assert.equal((await statesOf(server, trialId)).run, "FAILED");
	});

	it("fails all when two ranks call different operations under one number, and names both", async () => {
		const { server, trialId, members } = await startRun(3);
		const why =
			/operation 1 of the user's code is (gather on rank [02]) but broadcast on rank 1|is broadcast on rank 1 but gather on rank [02]/;
		await Promise.all(
			members.map((member, rank) =>
				assert.rejects(user(member, rank === 1 ? Operation.BROADCAST : Operation.GATHER), aborted(why)),
			),
		);
		assert.match((await statesOf(server, trialId)).reason ?? "", why);
	});

	it("fails all at once when all wait for each other, and says who waits for what", async () => {
		const { members } = await startRun(2);
		const why = /all workers wait for each other: rank 0 in gather of the user's code, rank 1 in step of the runtime/;
		const start = performance.now();
		await Promise.all([
			assert.rejects(user(members[0], Operation.GATHER), aborted(why)),
			assert.rejects(runtime(members[1], Operation.STEP), aborted(why)),
		]);
		assert.ok(performance.now() - start < 900);
		for (const member of members) {
			assert.ok(member.signal.aborted);
			assert.match(member.signal.reason.message, why);
			await assert.rejects(user(member, Operation.GATHER), aborted(why));
		}
	});
});

describe("RendezvousService: the end of a run", { timeout: 120_000 }, () => {
	it("is told to all when a worker leaves, with its reason", async () => {
		const { server, trialId, members } = await startRun(3);
		const [zero, ...others] = members;
		const waiting = fails(
			others,
			(member) => user(member, Operation.GATHER),
			/run 1 .* is failed: rank 0 on host-0 failed: out of ink/,
		);
		await zero?.leave("out of ink");
		await waiting;
		const { run, trial, reason } = await statesOf(server, trialId);
		assert.deepEqual([run, trial, reason], ["FAILED", "ACTIVE", "rank 0 on host-0 failed: out of ink"]);
	});

	it("is told to all when the trial is killed", async () => {
		const { server, trialId, members } = await startRun(3);
		const [zero, one, two] = members;
		const waiting = fails(
			[zero, one].filter((m) => m !== undefined),
			(member) => user(member, Operation.GATHER),
			/is killed: a user killed the trial/,
		);
		await server.client(TrialService).killTrial({ trialId });
		await waiting;
		await waitUntil("the idle one to know", () => two?.signal.aborted);
		const { run, trial } = await statesOf(server, trialId);
		assert.deepEqual([run, trial], ["KILLED", "CANCELED"]);
	});

	it("is told to those who are there when the trial is killed while the run is forming", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		const joining = memberAs(server.address, { trialId, worldSize: 2 });
		const ended = assert.rejects(joining, aborted(/killed/));
		await waitUntil("one to be there", async () =>
			statesOf(server, trialId).then(
				({ joinedCount }) => joinedCount === 1,
				() => false,
			),
		);
		await server.client(TrialService).killTrial({ trialId });
		await ended;
	});

	it("is COMPLETED once all have finished, and nobody is missed after", async () => {
		const { server, trialId, members, results } = await finishedTrial();
		assert.deepEqual(
			results.map(({ preempted }) => preempted),
			[false, false],
		);
		const { run, trial, reason } = await statesOf(server, trialId);
		assert.deepEqual([run, trial, reason], ["COMPLETED", "COMPLETED", ""]);
		for (const member of members) {
			assert.equal(member.signal.aborted, false);
			member.close();
		}
		assert.equal((await statesOf(server, trialId)).run, "COMPLETED");
		assert.deepEqual(server.logged, []);
	});

	it("is FAILED when the run may not finish yet", async () => {
		const { server, trialId, members } = await startRun(2);
		const channel = { scope: CollectiveScope.WORLD, caller: CollectiveCaller.RUNTIME };
		const results = [{ group: "inference", metricsJson: '{"accuracy":0.5}' }];
		const finish = (member: RendezvousMember) =>
			member.collective({ ...channel, operation: Operation.FINISH, results });
		await fails(members, finish, /trial 1 has no plan yet/);
		assert.equal((await statesOf(server, trialId)).run, "FAILED");
		assert.deepEqual(server.logged, []);
	});

	it("is COMPLETED without a plan, which workers with a loop of their own do not have, when all have finished", async () => {
		const { server, trialId, members } = await startRun(2);
		const first = runtime(members[0], Operation.FINISH);
		assert.equal((await statesOf(server, trialId)).run, "RUNNING");
		await Promise.all([first, runtime(members[1], Operation.FINISH)]);
		const { run, trial } = await statesOf(server, trialId);
		assert.deepEqual([run, trial], ["COMPLETED", "COMPLETED"]);
	});

	it("is PREEMPTED at a step when a pause was asked for, for all in the same step", async () => {
		const { server, trialId, members } = await startRun(3);
		const step = (done = false) => Promise.all(members.map((member) => runtime(member, Operation.STEP, done)));
		const no = { payloads: [], preempted: false };
		assert.deepEqual(await step(), [no, no, no]);
		await server.client(TrialService).pauseTrial({ trialId });
		assert.deepEqual(await step(true), [no, no, no], "who is done is not preempted");
		const yes = { payloads: [], preempted: true };
		assert.deepEqual(await step(), [yes, yes, yes]);
		const { run, trial, lastRunId } = await statesOf(server, trialId);
		assert.deepEqual([run, trial, lastRunId], ["PREEMPTED", "PAUSED", 1]);
		assert.ok(members.every(({ signal }) => !signal.aborted));
	});

	it("is left to the next run by a process that waited for the rank of another", async () => {
		const { server, trialId, members } = await startRun(2);
		const before = server.connectionCount;
		const second = memberAs(server.address, { trialId, worldSize: 2, rank: 1, host: "second" });
		const isSettled = watch(second);
		await waitUntil("the second to be connected", () => server.connectionCount > before);
		await members[1]?.leave("broken");
		await waitUntil("the next run", async () => (await statesOf(server, trialId)).lastRunId === 2);
		assert.equal(isSettled(), false);
		const zero = await memberAs(server.address, { trialId, worldSize: 2 });
		assert.deepEqual([zero.trialRunId, (await second).trialRunId], [2, 2]);
	});
});
