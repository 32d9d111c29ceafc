import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, describe, it } from "node:test";
import { MillraceError } from "../../src/errors.js";
import { ProgressService } from "../../src/gen/millrace/v1/progress_service_pb.js";
import {
	CollectiveCaller,
	CollectiveScope,
	CollectiveOperation as Operation,
} from "../../src/gen/millrace/v1/rendezvous_pb.js";
import { RendezvousService } from "../../src/gen/millrace/v1/rendezvous_service_pb.js";
import { TrialRunState, TrialState } from "../../src/gen/millrace/v1/trial_pb.js";
import { TrialService } from "../../src/gen/millrace/v1/trial_service_pb.js";
import { attend, type RendezvousMember } from "../../src/rendezvous/client.js";
import { Channel, type ChannelSettings } from "../../src/rpc/channel.js";
import { refusedForNow } from "../../src/rpc/pushback.js";
import { startTrial } from "../server/start-trial.js";
import { type CutProxy, startCutProxy } from "../support/cut-proxy.js";
import { errorWith } from "../support/error-with.js";
import { startRpcServer } from "../support/start-rpc-server.js";
import { startTestServer, type TestServer } from "../support/start-test-server.js";
import { waitUntil } from "../support/wait-until.js";
import { attendRanks, joinOf, memberAs, runtime, user } from "./attend-ranks.js";

/** A run whose last rank speaks to the server over a wire that can be cut. */
async function startCutRun(worldSize: number, timeouts?: ChannelSettings) {
	const server = await startTestServer();
	const trialId = await startTrial(server);
	const wire = await startCutProxy(server.address);
	const memberUuid = randomUUID();
	const join = { trialId, worldSize, rank: worldSize - 1, memberUuid };
	const [members, far] = await Promise.all([
		attendFirst(server, trialId, worldSize),
		memberAs(wire.address, join, timeouts),
	]);
	return { server, trialId, wire, members, far, memberUuid };
}

/** Joins all ranks of a run but the last. */
function attendFirst(server: TestServer, trialId: number, worldSize: number): Promise<RendezvousMember[]> {
	return Promise.all(
		Array.from({ length: worldSize - 1 }, (_, rank) => memberAs(server.address, { trialId, worldSize, rank })),
	);
}

async function runOf(server: TestServer, trialId: number, trialRunId = 1) {
	const { trialRun } = await server.client(TrialService).getTrialRun({ trialId, trialRunId });
	return { state: TrialRunState[trialRun?.state ?? 0], reason: trialRun?.reason ?? "" };
}

async function lastRunId(server: TestServer, trialId: number): Promise<number | undefined> {
	return (await server.client(TrialService).getTrial({ trialId })).trial?.trialRunId;
}

const never = () => assert.fail("it is a member");
const aborted = (reason: RegExp) => errorWith("aborted", reason);

/** Cuts a wire and mends it at once; what was held back on it is lost. */
function blink(wire: CutProxy, how?: "end" | "reset"): void {
	wire.cut(how);
	wire.resume();
}

describe("a member whose connection breaks", { timeout: 60_000 }, () => {
	for (const how of ["end", "reset"] as const) {
		it(`comes back, and its pending operation completes for all (${how})`, async () => {
			const { server, trialId, wire, members, far } = await startCutRun(3);
			const [zero, one] = members;
			const first = user(far, Operation.ALLGATHER, "c");
			wire.cut(how);
			const others = [user(zero, Operation.ALLGATHER, "a"), user(one, Operation.ALLGATHER, "b")];
			wire.resume();
			const all = ["a", "b", "c"];
			assert.deepEqual(await Promise.all([first, ...others]), [all, all, all]);
			blink(wire, how);
			const next = [far, zero, one].map((member) => user(member, Operation.BROADCAST, "d"));
			assert.deepEqual(await Promise.all(next), [["d"], ["d"], ["d"]]);
			assert.equal((await runOf(server, trialId)).state, "RUNNING");
			assert.equal(far.signal.aborted, false);
		});
	}

	it("comes back when its contribution was lost on the way", async () => {
		const { wire, members, far } = await startCutRun(2);
		wire.pause("client");
		const pending = user(far, Operation.ALLGATHER, "b");
		const other = user(members[0], Operation.ALLGATHER, "a");
		blink(wire);
		assert.deepEqual(await Promise.all([pending, other]), [
			["a", "b"],
			["a", "b"],
		]);
	});

	it("comes back when the answer was lost on the way, and gets it again", async () => {
		const { wire, members, far } = await startCutRun(2);
		wire.pause("server");
		const pending = user(far, Operation.ALLGATHER, "b");
		assert.deepEqual(await user(members[0], Operation.ALLGATHER, "a"), ["a", "b"]);
		blink(wire);
		assert.deepEqual(await pending, ["a", "b"]);
		const next = [user(far, Operation.GATHER, "d"), user(members[0], Operation.GATHER, "c")];
		assert.deepEqual(await Promise.all(next), [[], ["c", "d"]]);
	});

	it("is not missed while its connection is only slow", async () => {
		const { wire, members, far } = await startCutRun(2);
		const start = performance.now();
		wire.pause();
		const pending = user(far, Operation.ALLGATHER, "b");
		const other = user(members[0], Operation.ALLGATHER, "a");
		// Longer than a broken connection may be away.
		await waitUntil("1.5 s to pass", () => performance.now() - start > 1_500);
		wire.resume();
		assert.deepEqual(await Promise.all([pending, other]), [
			["a", "b"],
			["a", "b"],
		]);
	});

	it("is given its time from the break, however long the server had nothing to say before", async () => {
		const { wire, members, far } = await startCutRun(2, { connectMs: 400, retryMs: 400 });
		const start = performance.now();
		await waitUntil("more than retryMs to pass", () => performance.now() - start > 600);
		blink(wire);
		assert.deepEqual(await Promise.all([far, members[0]].map((member) => user(member, Operation.BROADCAST, "x"))), [
			["x"],
			["x"],
		]);
	});

	it("is lost after a second: the others learn rank, host and last progress", async () => {
		const { server, trialId, wire, members, memberUuid } = await startCutRun(3);
		const [zero, one] = members;
		const progress = server.client(ProgressService);
		const member = { trialId, trialRunId: 1, rank: 2, memberUuid };
		await progress.beginProgress({
			member,
			plan: { recordCount: 100n },
			options: { batchSize: 1, checkpointInterval: 1 },
		});
		await progress.commit({ member, commitNumber: 1, step: 7, ranges: [{ first: 2n, end: 3n }] });
		const why = /^run 1 of the trial is failed: rank 2 on host-2 is lost; last commit: step 7, 1 records$/;
		const waiting = [
			assert.rejects(user(zero, Operation.ALLGATHER, "a"), aborted(why)),
			assert.rejects(runtime(one, Operation.STEP), aborted(why)),
		];
		const start = performance.now();
		wire.cut();
		await Promise.all(waiting);
		const took = performance.now() - start;
		assert.ok(took > 900 && took < 3_000, `it took ${took} ms`);
		assert.equal((await runOf(server, trialId)).state, "FAILED");
	});

	it("is told the verdict when it comes back too late, and begins no run", async () => {
		const { server, trialId, wire, members, far } = await startCutRun(2);
		const pending = assert.rejects(
			user(far, Operation.GATHER),
			aborted(/^run 1 of the trial is failed: rank 1 on host-1/),
		);
		wire.cut();
		await assert.rejects(user(members[0], Operation.GATHER), aborted(/rank 1 on host-1 is lost; no commit yet/));
		wire.resume();
		await pending;
		assert.match(far.signal.reason.message, /rank 1 on host-1 is lost/);
		assert.equal(await lastRunId(server, trialId), 1);
		const next = await attendRanks([server.address], { trialId, worldSize: 1 });
		assert.equal(next[0]?.trialRunId, 2);
	});

	it("learns that it was preempted when the answer to its step was lost", async () => {
		const { server, trialId, wire, members, far } = await startCutRun(2);
		await server.client(TrialService).pauseTrial({ trialId });
		wire.pause("server");
		const pending = runtime(far, Operation.STEP);
		assert.equal((await runtime(members[0], Operation.STEP)).preempted, true);
		members[0]?.close();
		blink(wire);
		assert.equal((await pending).preempted, true);
		const { trial } = await server.client(TrialService).getTrial({ trialId });
		assert.equal(trial?.state, TrialState.PAUSED);
		assert.equal(far.signal.aborted, false);
	});

	it("learns that all is done when the answer to its finish was lost", async () => {
		const { server, trialId, wire, members, far, memberUuid } = await startCutRun(2);
		await server.client(ProgressService).beginProgress({
			member: { trialId, trialRunId: 1, rank: 1, memberUuid },
			plan: { recordCount: 0n },
			options: { batchSize: 1, checkpointInterval: 1 },
		});
		wire.pause("server");
		const pending = runtime(far, Operation.FINISH);
		await runtime(members[0], Operation.FINISH);
		members[0]?.close();
		blink(wire);
		await pending;
		assert.equal((await runOf(server, trialId)).state, "COMPLETED");
		assert.equal(far.signal.aborted, false);
	});

	it("only frees its rank while the run is forming", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		const wire = await startCutProxy(server.address);
		const far = memberAs(wire.address, { trialId, worldSize: 2, rank: 1, host: "far" });
		await waitUntil("the far one to be there", () =>
			runOf(server, trialId).then(
				() => true,
				() => false,
			),
		);
		wire.cut();
		const near = memberAs(server.address, { trialId, worldSize: 2, rank: 1, host: "near" });
		await waitUntil("the near one to be there", async () => {
			const { trialRun } = await server.client(TrialService).getTrialRun({ trialId, trialRunId: 1 });
			return trialRun?.joinedCount === 2;
		});
		const zero = await memberAs(server.address, { trialId, worldSize: 2 });
		assert.deepEqual(
			zero.peers.map(({ host }) => host),
			["host-0", "near"],
		);
		await near;
		// Its rank is taken now. It waits for that, and gives up with the test.
		far.then(never, () => {});
	});
});

describe("a member of a server that stops", { timeout: 60_000 }, () => {
	it("finishes its operation with the next server on the directory and the port", async () => {
		const first = await startTestServer();
		const trialId = await startTrial(first);
		const members = await attendRanks([first.address], { trialId, worldSize: 3 });
		const [zero, one, two] = members;
		assert.deepEqual((await Promise.all(members.map((m, i) => user(m, Operation.ALLGATHER, `${i}`))))[2], [
			"0",
			"1",
			"2",
		]);
		const pending = [user(zero, Operation.ALLGATHER, "a"), user(one, Operation.ALLGATHER, "b")];
		const { port } = new URL(`http://${first.address}`);
		await first.close();
		const meanwhile = user(two, Operation.ALLGATHER, "c");
		const second = await startTestServer({ dataDirectory: first.dataDirectory, port: Number(port) });
		const all = ["a", "b", "c"];
		assert.deepEqual(await Promise.all([...pending, meanwhile]), [all, all, all]);
		const steps = await Promise.all(members.map((member) => runtime(member, Operation.STEP)));
		assert.ok(steps.every(({ preempted }) => !preempted));
		assert.equal((await runOf(second, trialId)).state, "RUNNING");
		assert.equal(await lastRunId(second, trialId), 1);
		assert.deepEqual([...first.logged, ...second.logged], []);
	});

	it("waits on the next server for another that does not come back, no longer than a lease", async () => {
		const first = await startTestServer();
		const trialId = await startTrial(first);
		const [zero, one] = await attendRanks([first.address], { trialId, worldSize: 2 });
		const { port } = new URL(`http://${first.address}`);
		const pending = assert.rejects(
			user(zero, Operation.GATHER),
			aborted(/of 2 workers, rank 1 did not come back to the server that was started again/),
		);
		await first.close();
		one?.close();
		const second = await startTestServer({ dataDirectory: first.dataDirectory, port: Number(port), leaseMs: 2_000 });
		await pending;
		assert.deepEqual(await runOf(second, trialId), {
			state: "FAILED",
			reason: "of 2 workers, rank 1 did not come back to the server that was started again",
		});
	});

	it("lets new workers form the next run when those of a started one are gone with the server", async () => {
		const first = await startTestServer();
		const trialId = await startTrial(first);
		const members = await attendRanks([first.address], { trialId, worldSize: 2 });
		const { port } = new URL(`http://${first.address}`);
		await first.close();
		for (const member of members) {
			member.close();
		}
		const second = await startTestServer({ dataDirectory: first.dataDirectory, port: Number(port), leaseMs: 2_000 });
		const [alone] = await attendRanks([second.address], { trialId, worldSize: 1 });
		assert.equal(alone?.trialRunId, 2);
	});

	it("fails with unavailable when no server comes back within retryMs", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		const [zero] = await attendRanks([server.address], { trialId, worldSize: 1 }, { connectMs: 300, retryMs: 300 });
		const pending = assert.rejects(
			// Its answer comes never: the server is told nothing.
			new Promise((_, reject) => zero?.signal.addEventListener("abort", () => reject(zero.signal.reason))),
			errorWith("unavailable", new RegExp(`^no answer from ${server.address} for \\d+ s$`)),
		);
		await server.close();
		await pending;
		await assert.rejects(user(zero, Operation.GATHER), errorWith("unavailable", /no answer/));
	});
});

describe("attend", { timeout: 30_000 }, () => {
	it("throws unavailable when there is no server", async () => {
		const server = await startRpcServer(() => {});
		await server.close();
		await assert.rejects(
			memberAs(server.address, { trialId: 1 }, { connectMs: 200 }),
			errorWith("unavailable", new RegExp(server.address)),
		);
	});

	it("throws cancelled, and nothing else anywhere, when its channel is closed", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		const channel = new Channel(server.address);
		const joining = assert.rejects(
			attend(channel, joinOf({ trialId, worldSize: 2 })),
			errorWith("cancelled", /closed/),
		);
		await waitUntil("it to be there", () =>
			runOf(server, trialId).then(
				() => true,
				() => false,
			),
		);
		channel.close();
		await joining;
		await assert.rejects(attend(channel, joinOf({ trialId })), errorWith("cancelled", /closed/));
	});
});

describe("RendezvousMember", { timeout: 30_000 }, () => {
	it("takes an answer that broke off half way again from its start", async () => {
		const channel = { scope: CollectiveScope.WORLD, caller: CollectiveCaller.USER };
		const part = (rank: number, more: boolean) => ({
			message: {
				case: "answer" as const,
				value: { channel, number: 1, more, payloads: [{ rank, payload: Buffer.from(`${rank}`) }] },
			},
		});
		let streams = 0;
		const server = await startRpcServer((rpc) =>
			rpc.add(RendezvousService, {
				attend: async (requests, context) => {
					streams += 1;
					for await (const { message } of requests) {
						if (message.case === "join") {
							context.send({ message: { case: "joined", value: { trialRunId: 1 } } });
							context.send({ message: { case: "started", value: { trialRunId: 1 } } });
						} else {
							context.send(part(0, true));
							if (streams === 1) {
								throw new MillraceError("unavailable", "half way");
							}
							context.send(part(1, true));
							context.send(part(2, false));
						}
					}
				},
			}),
		);
		const member = await memberAs(server.address, { trialId: 1 });
		assert.deepEqual(await user(member, Operation.ALLGATHER), ["0", "1", "2"]);
		assert.equal(streams, 2);
	});

	it("comes again when the server refuses it for now", async () => {
		let attempts = 0;
		const server = await startRpcServer((rpc) =>
			rpc.add(RendezvousService, {
				attend: async (requests, context) => {
					attempts += 1;
					if (attempts <= 2) {
						throw refusedForNow("one token made more than 1 calls per second", 10);
					}
					for await (const _ of requests) {
						context.send({ message: { case: "joined", value: { trialRunId: 1 } } });
						context.send({ message: { case: "started", value: { trialRunId: 1 } } });
					}
				},
			}),
		);
		const member = await memberAs(server.address, { trialId: 1 });
		assert.equal(member.signal.aborted, false);
		assert.equal(attempts, 3);
	});

	it("rejects what is open, and what comes after, when its place is given up", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		const [zero, one] = await attendRanks([server.address], { trialId, worldSize: 2 });
		const given = errorWith("cancelled", /given up its place/);
		const pending = assert.rejects(user(zero, Operation.GATHER), given);
		const behind = assert.rejects(user(zero, Operation.GATHER), given);
		await new Promise((resolve) => setImmediate(resolve));
		zero?.close();
		await Promise.all([pending, behind]);
		await assert.rejects(user(zero, Operation.GATHER), given);
		await zero?.leave("again");
		// The first was sent before, or was not; the second was not.
		await user(one, Operation.GATHER).catch(() => {});
		await assert.rejects(user(one, Operation.GATHER), aborted(/rank 0 on host-0 is lost/));
	});

	it("does not wait for ever to leave while the server is away", async () => {
		const { wire, far } = await startCutRun(2);
		wire.cut();
		const start = performance.now();
		await far.leave("out of ink");
		assert.ok(performance.now() - start < 8_000);
	});

	it("tells why it leaves once its broken connection is back", async () => {
		const { wire, members, far } = await startCutRun(2);
		const other = assert.rejects(user(members[0], Operation.GATHER), aborted(/rank 1 on host-1 failed: out of ink/));
		wire.cut();
		const left = far.leave("out of ink");
		wire.resume();
		await Promise.all([left, other]);
	});

	it("lets go of its connection when it leaves", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		const channel = new Channel(server.address);
		after(() => channel.close());
		const connections = server.connectionCount;
		const attendance = await attend(channel, joinOf({ trialId }));
		assert.ok(attendance.kind === "member");
		await attendance.member.leave("done");
		channel.close();
		await waitUntil("the connection to end", () => server.connectionCount <= connections);
	});
});
