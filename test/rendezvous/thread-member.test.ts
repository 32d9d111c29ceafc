import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { CollectiveOperation as Operation } from "../../src/gen/millrace/v1/rendezvous_pb.js";
import { TrialService } from "../../src/gen/millrace/v1/trial_service_pb.js";
import type { RendezvousMember } from "../../src/rendezvous/client.js";
import { attendInThread, startMemberThread } from "../../src/rendezvous/thread-member.js";
import { Channel } from "../../src/rpc/channel.js";
import { createRpcClient } from "../../src/rpc/client.js";
import { startTrial } from "../server/start-trial.js";
import { errorWith } from "../support/error-with.js";
import { nodeWithTsx } from "../support/node-with-tsx.js";
import { startCommand, startMillrace } from "../support/start-command.js";
import { startTestServer } from "../support/start-test-server.js";
import { startWorkers } from "../support/start-workers.js";
import { tempDir } from "../support/temp-dir.js";
import { joinOf, user } from "./attend-ranks.js";

const leaseSeconds = 1.5;

/** A server that goes on while this process is blocked, and a run of two on it whose streams have threads. */
async function startRun() {
	const command = startMillrace(["server", "--port", "0", "--data", tempDir(), "--lease", String(leaseSeconds)]);
	after(() => command.close());
	await command.writes("serving at");
	const channel = new Channel(/serving at (\S+),/.exec(command.stdout())?.[1] ?? "");
	after(() => channel.close());
	const trialId = await startTrial({ client: (service) => createRpcClient(service, channel) });
	const members = await Promise.all(
		[0, 1].map(async (rank): Promise<RendezvousMember> => {
			const attendance = await attendInThread(startMemberThread(), channel, joinOf({ trialId, worldSize: 2, rank }));
			assert.ok(attendance.kind === "member");
			const { member } = attendance;
			after(() => member.close());
			return member;
		}),
	);
	const [zero, one] = members;
	assert.ok(zero && one);
	return { command, zero, one };
}

describe("attendInThread", { timeout: 120_000 }, () => {
	it("takes part in operations, and tells why another left", async () => {
		const { zero, one } = await startRun();
		assert.deepEqual(
			zero.peers.map(({ host }) => host),
			["host-0", "host-1"],
		);
		const both = [user(zero, Operation.ALLGATHER, "a"), user(one, Operation.ALLGATHER, "b")];
		assert.deepEqual(await Promise.all(both), Array(2).fill(["a", "b"]));
		const why = errorWith("aborted", /^run 1 of the trial is failed: rank 1 on host-1 failed: out of ink$/);
		const pending = assert.rejects(user(zero, Operation.GATHER), why);
		await one.leave("out of ink");
		await pending;
		assert.match(zero.signal.reason.message, /out of ink/);
		await assert.rejects(user(zero, Operation.GATHER), why);
		await assert.rejects(user(one, Operation.GATHER), why);
	});

	it("keeps the membership while this thread is blocked for longer than the lease", async () => {
		const { zero, one } = await startRun();
		Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3_000 * leaseSeconds);
		const both = [user(zero, Operation.ALLGATHER, "a"), user(one, Operation.ALLGATHER, "b")];
		assert.deepEqual(await Promise.all(both), Array(2).fill(["a", "b"]));
	});

	it("throws what the server says", async () => {
		const server = await startTestServer();
		const channel = new Channel(server.address);
		after(() => channel.close());
		await assert.rejects(
			attendInThread(startMemberThread(), channel, joinOf({ trialId: 77 })),
			errorWith("not_found", /trial 77 not found/),
		);
	});
});

describe("a worker whose thread is blocked in processBatch", { timeout: 120_000 }, () => {
	const stuck = { call: "processBatch", count: 2, rank: 1, run: 1 };

	it("is killed after stepTimeout, and the others learn which records it was", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		const options = { records: 40, batchSize: 5, stepTimeout: 1, block: stuck };
		const [zero, one] = startWorkers({ server: server.address, world: 2, trialId, options });
		const ends = await Promise.all([zero?.ended, one?.ended]);
		const reason = /processBatch of step 1, records 15 to 19, took longer than stepTimeout 1 s/;
		assert.equal(ends[1]?.signal, "SIGKILL");
		assert.match(ends[1]?.stderr ?? "", reason);
		assert.equal(ends[0]?.code, 1);
		assert.match(ends[0]?.stderr ?? "", new RegExp(`rank 1 on .* failed: ${reason.source}`));
	});

	it("is killed after stepTimeout also when the batch does not come", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		const options = { records: 40, batchSize: 5, stepTimeout: 1, stuckRecord: 12 };
		const [worker] = startWorkers({ server: server.address, world: 1, trialId, options });
		const end = await worker?.ended;
		assert.equal(end?.signal, "SIGKILL");
		assert.match(end?.stderr ?? "", /loading step 2, records 10 to 14, took longer than stepTimeout 1 s/);
	});

	it("is killed some time after its run is over", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		const script = fileURLToPath(new URL("../support/workers/stuck-member.ts", import.meta.url));
		const [node, ...args] = nodeWithTsx;
		const env = { MILLRACE_SERVER: server.address, MILLRACE_TRIAL_ID: String(trialId) };
		const worker = startCommand(node, [...args, script], { env });
		after(() => worker.close());
		await worker.writes("stuck");
		await server.client(TrialService).killTrial({ trialId });
		const { signal, stderr } = await worker.ended;
		assert.equal(signal, "SIGKILL");
		assert.match(
			stderr,
			/^millrace: rank 0: run 1 of the trial is killed: .*, but the code of this worker has not noticed for 0\.5 s; killed$/m,
		);
	});

	it("ends with its parent all the same", async () => {
		const server = await startTestServer();
		const script = fileURLToPath(new URL("../support/workers/recording-worker.ts", import.meta.url));
		const [node, ...args] = nodeWithTsx;
		const env = {
			MILLRACE_SERVER: server.address,
			MILLRACE_PARENT_PIPE: "1",
			WORKER_OPTIONS: JSON.stringify({ records: 10, block: { ...stuck, rank: 0 } }),
		};
		const worker = startCommand(node, [...args, script], { env });
		after(() => worker.close());
		await worker.writes(/processBatch","count":2/);
		worker.endStdin();
		assert.equal((await worker.ended).signal, "SIGKILL");
	});
});
