import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { CollectiveOperation as Operation } from "../../src/gen/millrace/v1/rendezvous_pb.js";
import { TrialService } from "../../src/gen/millrace/v1/trial_service_pb.js";
import { Channel } from "../../src/rpc/channel.js";
import { createRpcClient } from "../../src/rpc/client.js";
import { startTrial } from "../server/start-trial.js";
import { startCutProxy } from "../support/cut-proxy.js";
import { errorWith } from "../support/error-with.js";
import { startMillrace } from "../support/start-command.js";
import { startTestServer } from "../support/start-test-server.js";
import { tempDir } from "../support/temp-dir.js";
import { waitUntil } from "../support/wait-until.js";
import { attendRanks, memberAs, runtime, user } from "./attend-ranks.js";

const leaseMs = 1_500;
const aborted = (reason: RegExp) => errorWith("aborted", reason);
const pass = (ms: number) => {
	const start = performance.now();
	return waitUntil(`${ms} ms to pass`, () => performance.now() - start > ms);
};

/** A run of two, whose rank 1 speaks to the server over a wire of its own. */
async function startRun() {
	const server = await startTestServer({ leaseMs });
	const trialId = await startTrial(server);
	const wire = await startCutProxy(server.address);
	const [zero, one] = await attendRanks([server.address, wire.address], { trialId, worldSize: 2 });
	assert.ok(zero && one);
	return { server, trialId, wire, zero, one };
}

describe("a lease", { timeout: 60_000 }, () => {
	it("is kept by a worker that has nothing to say", async () => {
		const { zero, one } = await startRun();
		await pass(2 * leaseMs);
		const both = ["a", "b"];
		assert.deepEqual(await Promise.all([user(zero, Operation.ALLGATHER, "a"), user(one, Operation.ALLGATHER, "b")]), [
			both,
			both,
		]);
	});

	it("ends for a worker that is silent, and the others learn who it was and what it was doing", async () => {
		const { server, trialId, wire, zero, one } = await startRun();
		one.beginStep({ step: 3, first: 30, end: 40 });
		// Until the server has heard of it.
		await pass(leaseMs / 2);
		const start = performance.now();
		wire.pause();
		const why =
			/rank 1 on host-1 is lost: it was silent for 1.5 s; no commit yet; records 30 to 39 were in flight when it was last/;
		await assert.rejects(user(zero, Operation.GATHER), aborted(why));
		assert.ok(performance.now() - start < leaseMs + 1_000);
		wire.resume();
		await assert.rejects(user(one, Operation.GATHER), aborted(why));
		const { trial } = await server.client(TrialService).getTrial({ trialId });
		assert.equal(trial?.trialRunId, 1);
	});

	it("outlasts a wire that is dead for less", async () => {
		const { wire, zero, one } = await startRun();
		wire.pause();
		const pending = [user(zero, Operation.ALLGATHER, "a"), user(one, Operation.ALLGATHER, "b")];
		await pass(leaseMs / 2);
		wire.resume();
		assert.deepEqual(await Promise.all(pending), Array(2).fill(["a", "b"]));
		assert.equal((await Promise.all([runtime(zero, Operation.STEP), runtime(one, Operation.STEP)])).length, 2);
	});

	it("outlasts a connection that is dead for good, by another", async () => {
		const { wire, zero, one } = await startRun();
		wire.strand();
		const pending = [user(zero, Operation.ALLGATHER, "a"), user(one, Operation.ALLGATHER, "b")];
		assert.deepEqual(await Promise.all(pending), Array(2).fill(["a", "b"]));
		await pass(2 * leaseMs);
		assert.equal(one.signal.aborted, false);
	});

	it("ends for a worker that waits for the others, and frees its rank", async () => {
		const server = await startTestServer({ leaseMs });
		const trialId = await startTrial(server);
		const wire = await startCutProxy(server.address);
		const frozen = memberAs(wire.address, { trialId, worldSize: 2, rank: 1, host: "frozen" });
		frozen.catch(() => {});
		const joined = (count: number) =>
			waitUntil(`${count} to be there`, () =>
				server
					.client(TrialService)
					.getTrialRun({ trialId, trialRunId: 1 })
					.then(
						({ trialRun }) => trialRun?.joinedCount === count,
						() => false,
					),
			);
		await joined(1);
		wire.pause();
		const second = memberAs(server.address, { trialId, worldSize: 2, rank: 1, host: "second" });
		await joined(2);
		const zero = await memberAs(server.address, { trialId, worldSize: 2 });
		assert.deepEqual(
			zero.peers.map(({ host }) => host),
			["host-0", "second"],
		);
		assert.equal((await second).trialRunId, 1);
	});

	it("is longer by the time that the server itself was frozen", async () => {
		const command = startMillrace(["server", "--port", "0", "--data", tempDir(), "--lease", String(leaseMs / 1000)]);
		after(() => command.close());
		await command.writes("serving at");
		const address = /serving at (\S+),/.exec(command.stdout())?.[1] ?? "";
		const channel = new Channel(address);
		after(() => channel.close());
		const trialId = await startTrial({ client: (service) => createRpcClient(service, channel) });
		const [zero, one] = await attendRanks([address], { trialId, worldSize: 2 });
		command.signal("SIGSTOP");
		const pending = [user(zero, Operation.ALLGATHER, "a"), user(one, Operation.ALLGATHER, "b")];
		await pass(3 * leaseMs);
		command.signal("SIGCONT");
		assert.deepEqual(await Promise.all(pending), Array(2).fill(["a", "b"]));
		assert.deepEqual([zero?.signal.aborted, one?.signal.aborted], [false, false]);
	});
});
