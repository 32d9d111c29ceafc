import assert from "node:assert/strict";
import { once } from "node:events";
import { after, describe, it } from "node:test";
import { Client, credentials, Metadata, type StatusObject } from "@grpc/grpc-js";
import { MetricService } from "../../../src/gen/millrace/v1/metric_service_pb.js";
import { ServerService } from "../../../src/gen/millrace/v1/server_service_pb.js";
import { createRpcClient } from "../../../src/rpc/client.js";
import { openGate } from "../../../src/rpc/gate.js";
import { CallLimits } from "../../../src/rpc/limits/call-limits.js";
import { LimitGate } from "../../../src/rpc/limits/limit-gate.js";
import { defaultLimits, type Limits, limitsOf } from "../../../src/rpc/limits/limits.js";
import { errorWith } from "../../support/error-with.js";
import { messageHead, rawCall, rawSession } from "../../support/raw-grpc.js";
import { startRpcServer } from "../../support/start-rpc-server.js";
import { startServerWithAccounts } from "../../support/start-server-with-accounts.js";
import { waitUntil } from "../../support/wait-until.js";

const identity = (bytes: Buffer) => bytes;

/** A server with these limits, of one method that answers and one that streams until its caller goes. */
async function startLimitedServer(given: Partial<Limits>) {
	const limits = new CallLimits({ ...defaultLimits, ...given });
	const unused = () => assert.fail("not called");
	let answered = 0;
	const server = await startRpcServer(
		(rpc) => {
			rpc.add(ServerService, {
				getServerInfo: async () => {
					answered++;
					return {};
				},
			});
			rpc.add(MetricService, {
				reportMetrics: unused,
				async *streamTrialMetrics(_, { signal }) {
					yield {};
					await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
				},
				streamCheckpointMetrics: unused,
				streamModelVersionMetrics: unused,
				summarizeMetrics: unused,
			});
		},
		0,
		{ gate: new LimitGate(openGate, limits), limits },
	);
	return { server, answered: () => answered };
}

/** A client of grpc-js alone, which repeats nothing. */
function bareClient(address: string): Client {
	const client = new Client(address, credentials.createInsecure(), { "grpc.use_local_subchannel_pool": 1 });
	after(() => client.close());
	return client;
}

/** Calls GetServerInfo, and returns the status of the end. */
function call(client: Client, metadata = new Metadata()): Promise<StatusObject> {
	return new Promise((resolve) => {
		const path = "/millrace.v1.ServerService/GetServerInfo";
		client
			.makeUnaryRequest(path, identity, identity, Buffer.alloc(0), metadata, () => {})
			.on("status", (status) => resolve(status));
	});
}

function codesOf(ends: readonly StatusObject[]): { ok: number; exhausted: number; others: number } {
	const ok = ends.filter(({ code }) => code === 0).length;
	const exhausted = ends.filter(({ code }) => code === 8).length;
	return { ok, exhausted, others: ends.length - ok - exhausted };
}

describe("the limit of calls per second", { timeout: 60_000 }, () => {
	it("refuses a connection with RESOURCE_EXHAUSTED and the time to wait, and serves another", async () => {
		const { server, answered } = await startLimitedServer({ maxCallsPerSecond: 10 });
		const [hasty, other] = [bareClient(server.address), bareClient(server.address)];
		const ends = await Promise.all(Array.from({ length: 100 }, () => call(hasty)));
		const { ok, exhausted, others } = codesOf(ends);
		assert.equal(others, 0);
		assert.ok(ok >= 20 && exhausted > 0, `${ok} of ${ends.length} were answered`);
		assert.equal(answered(), ok);
		const refused = ends.find(({ code }) => code === 8);
		assert.match(refused?.details ?? "", /^one connection made more than 10 calls per second, /);
		assert.match(String(refused?.metadata.get("grpc-retry-pushback-ms")[0]), /^\d{1,4}$/);
		assert.equal((await call(other)).code, 0);
	});

	it("costs our client time, and no call", async () => {
		const { server, answered } = await startLimitedServer({ maxCallsPerSecond: 50 });
		// Whether a method may be repeated has nothing to do with it: nothing was done.
		const service: typeof ServerService = {
			...ServerService,
			methods: ServerService.methods.map((method) => ({ ...method, idempotency: 0 })),
		};
		const client = createRpcClient(service, server.channel());
		await Promise.all(Array.from({ length: 200 }, () => client.getServerInfo({})));
		assert.equal(answered(), 200);
	});

	it("holds for health, which everyone may ask for", async () => {
		const { server } = await startLimitedServer({ maxCallsPerSecond: 10 });
		const client = bareClient(server.address);
		const check = () =>
			new Promise<StatusObject>((resolve) => {
				client
					.makeUnaryRequest("/grpc.health.v1.Health/Check", identity, identity, Buffer.alloc(0), () => {})
					.on("status", resolve);
			});
		const { ok, exhausted, others } = codesOf(await Promise.all(Array.from({ length: 60 }, check)));
		assert.ok(ok >= 20 && exhausted > 0 && others === 0, `${ok} were answered, ${exhausted} refused, ${others} failed`);
	});

	it("ends our client's patience with the sentence", async () => {
		const { server } = await startLimitedServer({ maxCallsPerSecond: 1 });
		const channel = server.channel({ connectMs: 100, retryMs: 100 });
		const client = createRpcClient(ServerService, channel);
		const calls = Array.from({ length: 4 }, () => client.getServerInfo({}));
		await assert.rejects(
			Promise.all(calls),
			errorWith(
				"resource_exhausted",
				new RegExp(`^the Millrace server at ${server.address} refuses the call: one connection made more than 1 calls`),
			),
		);
		await Promise.allSettled(calls);
	});

	it("is one for all connections that show the same token, and another for another token", async () => {
		const { address, ada, bob } = await startServerWithAccounts({ limits: { maxCallsPerSecond: 10 } });
		const metadataOf = (token: string) => {
			const metadata = new Metadata();
			metadata.set("authorization", `Bearer ${token}`);
			return metadata;
		};
		const clients = Array.from({ length: 20 }, () => bareClient(address));
		const ends = await Promise.all(clients.map((client) => call(client, metadataOf(ada))));
		const more = await Promise.all(clients.map((client) => call(client, metadataOf(ada))));
		const { exhausted, others } = codesOf([...ends, ...more]);
		assert.equal(others, 0);
		assert.ok(exhausted > 0);
		assert.match(more.find(({ code }) => code === 8)?.details ?? "", /^one token made more than 10 calls per second, /);
		assert.equal((await call(clients[0] as Client, metadataOf(bob))).code, 0);
	});

	it("holds for those who try tokens", async () => {
		const { address } = await startServerWithAccounts({ limits: { maxCallsPerSecond: 10 } });
		const guesser = bareClient(address);
		const path = "/millrace.v1.TrialService/GetTrial";
		const guess = (index: number): Promise<StatusObject> => {
			const metadata = new Metadata();
			metadata.set("authorization", `Bearer guess-${index}`);
			return new Promise((resolve) => {
				guesser
					.makeUnaryRequest(path, identity, identity, Buffer.alloc(0), metadata, () => {})
					.on("status", (status) => resolve(status));
			});
		};
		const ends = await Promise.all(Array.from({ length: 100 }, (_, index) => guess(index)));
		assert.deepEqual(new Set(ends.map(({ code }) => code)), new Set([16, 8]));
	});
});

describe("the limit of streams", { timeout: 60_000 }, () => {
	it("refuses one more of a connection, and serves another connection", async () => {
		const { server } = await startLimitedServer({ maxStreamsPerConnection: 2 });
		const channel = server.channel({ connectMs: 200, retryMs: 200 });
		const { streamTrialMetrics } = createRpcClient(MetricService, channel);
		const open = Array.from({ length: 2 }, () => streamTrialMetrics({ trialIds: [1] })[Symbol.asyncIterator]());
		await Promise.all(open.map((stream) => stream.next()));
		await assert.rejects(
			async () => {
				for await (const _ of streamTrialMetrics({ trialIds: [1] })) {
					assert.fail("it was let in");
				}
			},
			errorWith(
				"resource_exhausted",
				/this connection has 2 streams open, the most that a connection may have; let some end/,
			),
		);
		await createRpcClient(ServerService, channel).getServerInfo({});
		const other = createRpcClient(MetricService, server.channel()).streamTrialMetrics({ trialIds: [1] });
		const first = await other[Symbol.asyncIterator]().next();
		assert.equal(first.done, false);
	});

	it("does not hold up the other calls of a connection that tries it again and again", async () => {
		const { server, answered } = await startLimitedServer({ maxStreamsPerConnection: 8 });
		const channel = server.channel({ connectMs: 2_000, retryMs: 2_000 });
		const { streamTrialMetrics } = createRpcClient(MetricService, channel);
		const { getServerInfo } = createRpcClient(ServerService, channel);
		const open = Array.from({ length: 8 }, () => streamTrialMetrics({ trialIds: [1] })[Symbol.asyncIterator]());
		await Promise.all(open.map((stream) => stream.next()));
		await getServerInfo({});
		let refused = 0;
		const tries = Array.from({ length: 6 }, async () => {
			await assert.rejects(
				streamTrialMetrics({ trialIds: [1] })
					[Symbol.asyncIterator]()
					.next(),
			);
			refused++;
		});
		let calls = 1;
		for (; refused < tries.length; calls++) {
			await getServerInfo({}, { timeoutMs: 10_000 });
		}
		await Promise.all(tries);
		assert.equal(answered(), calls);
		// One at a time, each after a refusal or two, they would be a handful.
		assert.ok(calls > 20, `${calls} calls`);
	});

	it("is told to who tries it again and again by the transport, which lets a client wait on its side", async () => {
		const { server } = await startLimitedServer({ maxStreamsPerConnection: 8 });
		const session = rawSession(server.address);
		await once(session, "remoteSettings");
		assert.equal(session.remoteSettings.maxConcurrentStreams, 16);
		const path = "/millrace.v1.MetricService/StreamTrialMetrics";
		const narrowed = once(session, "remoteSettings");
		const tries = Array.from({ length: 24 }, () => {
			const { stream, ended } = rawCall(session, path);
			stream.end(messageHead(0));
			return ended;
		});
		await narrowed;
		// Those that are open, and two to try.
		assert.equal(session.remoteSettings.maxConcurrentStreams, 10);
		assert.equal((await Promise.race(tries)).code, 8);
	});

	it("lets one more in once one has ended, for which our client waits", async () => {
		const { server } = await startLimitedServer({ maxStreamsPerConnection: 1 });
		const { streamTrialMetrics } = createRpcClient(MetricService, server.channel());
		const [first, second] = [1, 2].map((id) => streamTrialMetrics({ trialIds: [id] })[Symbol.asyncIterator]());
		await first?.next();
		let isIn = false;
		const next = second?.next().then(() => {
			isIn = true;
		});
		assert.equal(isIn, false);
		await first?.return?.(undefined);
		await next;
		await waitUntil("the second", () => isIn);
	});
});

describe("the limit of metadata", { timeout: 60_000 }, () => {
	it("refuses a call with more, and serves the connection's next", async () => {
		const { server } = await startLimitedServer({});
		const client = bareClient(server.address);
		const metadata = new Metadata();
		metadata.set("x-much", "m".repeat(17 * 1024));
		const { code, details } = await call(client, metadata);
		assert.equal(code, 8);
		assert.match(
			details,
			/^the metadata of the call has 17\d{3} bytes; at most 16384 are taken: put what is large into/,
		);
		assert.equal((await call(client)).code, 0);
	});

	it("is followed by the transport's own, past which the connection is cut, and others are served", async () => {
		const { server, answered } = await startLimitedServer({});
		const client = bareClient(server.address);
		const metadata = new Metadata();
		metadata.set("x-much", "m".repeat(100 * 1024));
		assert.notEqual((await call(client, metadata)).code, 0);
		assert.equal(answered(), 0);
		assert.equal((await call(bareClient(server.address))).code, 0);
	});
});

describe("limitsOf", () => {
	it("takes the usual ones where none are given", () => {
		assert.deepEqual(limitsOf(), defaultLimits);
		assert.deepEqual(limitsOf({ maxStreamsPerConnection: 7 }), { ...defaultLimits, maxStreamsPerConnection: 7 });
	});

	it("throws invalid_argument for what is no limit", () => {
		for (const value of [0, -1, 1.5, Number.NaN, "7" as unknown as number]) {
			assert.throws(
				() => limitsOf({ maxStreamsPerConnection: value }),
				errorWith("invalid_argument", /^limits\.maxStreamsPerConnection is .*; it must be a whole number from 1 on$/),
			);
		}
	});
});
