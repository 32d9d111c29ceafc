import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, describe, it } from "node:test";
import { ProgressService } from "../../src/gen/millrace/v1/progress_service_pb.js";
import {
	CollectiveCaller,
	CollectiveScope,
	CollectiveOperation as Operation,
} from "../../src/gen/millrace/v1/rendezvous_pb.js";
import { TrialRunState } from "../../src/gen/millrace/v1/trial_pb.js";
import { TrialService } from "../../src/gen/millrace/v1/trial_service_pb.js";
import type { RendezvousMember } from "../../src/rendezvous/client.js";
import { Channel } from "../../src/rpc/channel.js";
import { createRpcClient } from "../../src/rpc/client.js";
import { startTrial } from "../server/start-trial.js";
import { startCutProxy } from "../support/cut-proxy.js";
import { startMillrace } from "../support/start-command.js";
import { startTestServer, type TestServer } from "../support/start-test-server.js";
import { tempDir } from "../support/temp-dir.js";
import { attendRanks, memberAs, runtime } from "./attend-ranks.js";

/** A run of two on one node, each over a wire of its own, whose trial has no records to process. */
async function startRun() {
	const server = await startTestServer();
	const trialId = await startTrial(server);
	const wires = [await startCutProxy(server.address), await startCutProxy(server.address)] as const;
	const uuids = [randomUUID(), randomUUID()];
	const [zero, one] = await Promise.all(
		wires.map(({ address }, rank) => memberAs(address, { trialId, worldSize: 2, rank, memberUuid: uuids[rank] ?? "" })),
	);
	assert.ok(zero && one);
	await server.client(ProgressService).beginProgress({
		member: { trialId, trialRunId: 1, rank: 0, memberUuid: uuids[0] ?? "" },
		plan: { recordCount: 0n },
		options: { batchSize: 1, checkpointInterval: 1 },
	});
	/** Takes the server away with all that is on the wires, and starts the next one. */
	const restart = async (meanwhile: () => void = () => {}): Promise<TestServer> => {
		const port = Number(new URL(`http://${server.address}`).port);
		for (const wire of wires) {
			wire.cut();
		}
		await server.close();
		meanwhile();
		const next = await startTestServer({ dataDirectory: server.dataDirectory, port });
		for (const wire of wires) {
			wire.resume();
		}
		return next;
	};
	return { server, trialId, wires, zero, one, restart };
}

type Run = Awaited<ReturnType<typeof startRun>>;

interface Kind {
	readonly operation: Operation;
	readonly scope: CollectiveScope;
	readonly caller: CollectiveCaller;
}

const { WORLD, NODE } = CollectiveScope;
const { USER, RUNTIME } = CollectiveCaller;
const data = [Operation.GATHER, Operation.ALLGATHER, Operation.BROADCAST];
const kinds: Kind[] = [
	...data.flatMap((operation) => [WORLD, NODE].map((scope) => ({ operation, scope, caller: USER }))),
	{ operation: Operation.ALLGATHER, scope: NODE, caller: RUNTIME },
	{ operation: Operation.BROADCAST, scope: WORLD, caller: RUNTIME },
	{ operation: Operation.STEP, scope: WORLD, caller: RUNTIME },
];
const finish: Kind = { operation: Operation.FINISH, scope: WORLD, caller: RUNTIME };

async function take(member: RendezvousMember, kind: Kind, payload: string): Promise<string[]> {
	const { payloads } = await member.collective({ ...kind, payload: Buffer.from(payload) });
	return payloads.map((bytes) => Buffer.from(bytes).toString());
}

/** What ranks 0 and 1 are due. */
function due({ operation }: Kind, payloads: readonly [string, string]): string[][] {
	switch (operation) {
		case Operation.GATHER:
			return [[...payloads], []];
		case Operation.ALLGATHER:
			return [[...payloads], [...payloads]];
		case Operation.BROADCAST:
			return [[payloads[0]], [payloads[0]]];
		default:
			return [[], []];
	}
}

async function stateOf(server: TestServer, trialId: number): Promise<string | undefined> {
	const { trialRun } = await server.client(TrialService).getTrialRun({ trialId, trialRunId: 1 });
	return TrialRunState[trialRun?.state ?? 0];
}

/** Waits until both contributions have reached the server and its answer to rank 0, by another operation. */
async function settled({ server, trialId }: Run): Promise<void> {
	await server.client(TrialService).getTrial({ trialId });
}

for (const kind of [...kinds, finish]) {
	const name = `${Operation[kind.operation]} of the ${CollectiveCaller[kind.caller]} in the ${CollectiveScope[kind.scope]}`;
	describe(`${name}, when the server is restarted`, { timeout: 60_000 }, () => {
		const both = async ({ zero, one }: Run, payloads: readonly [string, string] = ["a", "b"]) =>
			assert.deepEqual(
				await Promise.all([take(zero, kind, payloads[0]), take(one, kind, payloads[1])]),
				due(kind, payloads),
			);
		const isLast = kind === finish;

		it("before any has contributed", async () => {
			const run = await startRun();
			if (!isLast) {
				await both(run, ["x", "y"]);
			}
			const next = await run.restart();
			await both(run);
			assert.equal(await stateOf(next, run.trialId), isLast ? "COMPLETED" : "RUNNING");
		});

		it("when one has contributed", async () => {
			const run = await startRun();
			const pending = take(run.one, kind, "b");
			await settled(run);
			let other: Promise<string[]> | undefined;
			const next = await run.restart(() => {
				other = take(run.zero, kind, "a");
			});
			assert.deepEqual([await other, await pending], due(kind, ["a", "b"]));
			assert.equal(await stateOf(next, run.trialId), isLast ? "COMPLETED" : "RUNNING");
		});

		it("when all have contributed and none has the answer", async () => {
			const run = await startRun();
			for (const wire of run.wires) {
				wire.pause("server");
			}
			const pending = [take(run.zero, kind, "a"), take(run.one, kind, "b")];
			await settled(run);
			await run.restart();
			assert.deepEqual(await Promise.all(pending), due(kind, ["a", "b"]));
			if (!isLast) {
				await both(run, ["c", "d"]);
			}
		});

		it("when one has the answer, and is in the next", async () => {
			const run = await startRun();
			run.wires[1].pause("server");
			const behind = take(run.one, kind, "b");
			const [first] = due(kind, ["a", "b"]);
			assert.deepEqual(await take(run.zero, kind, "a"), first);
			if (isLast) {
				// Nobody misses it.
				run.zero.close();
				await run.restart();
				assert.deepEqual(await behind, []);
				return;
			}
			const ahead = take(run.zero, kind, "c");
			const next = await run.restart();
			assert.deepEqual(await behind, due(kind, ["a", "b"])[1]);
			assert.deepEqual(await Promise.all([ahead, take(run.one, kind, "d")]), due(kind, ["c", "d"]));
			await both(run, ["e", "f"]);
			assert.equal(await stateOf(next, run.trialId), "RUNNING");
			assert.deepEqual(next.logged, []);
		});
	});
}

describe("a run whose server is restarted", { timeout: 120_000 }, () => {
	it("gives a step that one has seen decided the same decision, and the next its own", async () => {
		const run = await startRun();
		run.wires[1].pause("server");
		const behind = runtime(run.one, Operation.STEP);
		assert.equal((await runtime(run.zero, Operation.STEP)).preempted, false);
		await run.server.client(TrialService).pauseTrial({ trialId: run.trialId });
		const ahead = runtime(run.zero, Operation.STEP);
		const next = await run.restart();
		assert.equal((await behind).preempted, false);
		const last = await Promise.all([ahead, runtime(run.one, Operation.STEP)]);
		assert.deepEqual(
			last.map(({ preempted }) => preempted),
			[true, true],
		);
		assert.equal(await stateOf(next, run.trialId), "PREEMPTED");
	});

	it("carries 16 MiB that half of it has the answer to", async () => {
		const run = await startRun();
		const kind = { operation: Operation.ALLGATHER, scope: WORLD, caller: USER };
		const most = "a".repeat(16 * 1024 * 1024);
		// What waits for the answer is small: a held back wire takes no large contribution either.
		run.wires[1].pause("server");
		const behind = take(run.one, kind, "b");
		const first = await take(run.zero, kind, most);
		assert.ok(first[0] === most && first[1] === "b");
		const ahead = take(run.zero, kind, most);
		await run.restart();
		const second = await behind;
		assert.ok(second[0] === most && second[1] === "b");
		const third = await Promise.all([ahead, take(run.one, kind, most)]);
		assert.ok(third.every((payloads) => payloads.every((payload) => payload === most)));
	});

	it("goes on when the server's process is killed, and killed again", async () => {
		const dataDirectory = tempDir();
		const start = async (port: string) => {
			const command = startMillrace(["server", "--port", port, "--no-http", "--data", dataDirectory]);
			after(() => command.close());
			await command.writes("serving at");
			return { command, address: /serving at (\S+),/.exec(command.stdout())?.[1] ?? "" };
		};
		let { command, address } = await start("0");
		const channel = new Channel(address);
		after(() => channel.close());
		const trialId = await startTrial({ client: (service) => createRpcClient(service, channel) });
		const members = await attendRanks([address], { trialId, worldSize: 3 });
		const kind = { operation: Operation.ALLGATHER, scope: WORLD, caller: USER };
		for (let round = 0; round < 3; round++) {
			const [zero, ...others] = members;
			assert.ok(zero);
			const early = others.map((member, i) => take(member, kind, `${round}-${i + 1}`));
			await command.close();
			({ command } = await start(address.split(":")[1] ?? ""));
			const all = await Promise.all([take(zero, kind, `${round}-0`), ...early]);
			assert.deepEqual(all, Array(3).fill([`${round}-0`, `${round}-1`, `${round}-2`]));
			assert.equal((await Promise.all(members.map((member) => runtime(member, Operation.STEP)))).length, 3);
		}
	});
});
