import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { after, describe, it } from "node:test";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { MillraceError } from "../../src/errors.js";
import { MetricService } from "../../src/gen/millrace/v1/metric_service_pb.js";
import { RendezvousService } from "../../src/gen/millrace/v1/rendezvous_service_pb.js";
import { ServerService } from "../../src/gen/millrace/v1/server_service_pb.js";
import { Channel, maxMessageBytes } from "../../src/rpc/channel.js";
import { createRpcClient } from "../../src/rpc/client.js";
import type { ServiceHandlers } from "../../src/rpc/handler.js";
import type { RpcServer } from "../../src/rpc/server.js";
import { errorWith } from "../support/error-with.js";
import { startRpcServer, type TestRpcServer } from "../support/start-rpc-server.js";
import { waitUntil } from "../support/wait-until.js";

type Handlers = Partial<
	ServiceHandlers<typeof ServerService> &
		ServiceHandlers<typeof MetricService> &
		ServiceHandlers<typeof RendezvousService>
>;

/** The service, as if its methods were not known to be repeatable. */
const UnrepeatableServerService: typeof ServerService = {
	...ServerService,
	methods: ServerService.methods.map((method) => ({
		...method,
		idempotency: MethodOptions_IdempotencyLevel.IDEMPOTENCY_UNKNOWN,
	})),
};

function startServerWith(handlers: Handlers, port = 0): Promise<TestRpcServer> {
	const unused = () => {
		throw new MillraceError("unimplemented", "not here");
	};
	return startRpcServer((rpc: RpcServer) => {
		rpc.add(ServerService, { getServerInfo: handlers.getServerInfo ?? unused });
		rpc.add(MetricService, {
			reportMetrics: unused,
			streamTrialMetrics: handlers.streamTrialMetrics ?? unused,
			streamCheckpointMetrics: unused,
			streamModelVersionMetrics: unused,
			summarizeMetrics: unused,
		});
		rpc.add(RendezvousService, { attend: handlers.attend ?? unused });
	}, port);
}

function clientsOf(channel: Channel) {
	return {
		...createRpcClient(ServerService, channel),
		...createRpcClient(MetricService, channel),
		...createRpcClient(RendezvousService, channel),
	};
}

/** Handlers that answer nothing until their caller has gone. */
function silentHandlers() {
	let calls = 0;
	let aborted = 0;
	const gone = (signal: AbortSignal) => {
		calls += 1;
		return new Promise<void>((resolve) =>
			signal.addEventListener("abort", () => {
				aborted += 1;
				resolve();
			}),
		);
	};
	const handlers: Handlers = {
		getServerInfo: async (_, { signal }) => {
			await gone(signal);
			return {};
		},
		streamTrialMetrics: async function* (_, { signal }) {
			await gone(signal);
			yield {};
		},
		attend: (_, { signal }) => gone(signal),
	};
	return { handlers, calls: () => calls, aborted: () => aborted };
}

async function readAll<T>(stream: AsyncIterable<T>): Promise<T[]> {
	const messages: T[] = [];
	for await (const message of stream) {
		messages.push(message);
	}
	return messages;
}

/** The three kinds of calls, as promises. */
const kinds: Record<string, (channel: Channel, signal?: AbortSignal) => Promise<unknown>> = {
	"a unary call": async (channel, signal) => clientsOf(channel).getServerInfo({}, { signal }),
	"a server stream": async (channel, signal) =>
		readAll(clientsOf(channel).streamTrialMetrics({ trialIds: [1] }, { signal })),
	"a stream in both directions": async (channel, signal) => {
		const call = clientsOf(channel).attend({ signal });
		call.send({ message: { case: "leave", value: {} } });
		return readAll(call);
	},
};

/** A port of this machine that nobody listens on, but that did a moment ago. */
async function freePort(): Promise<number> {
	const listener = createServer();
	await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
	const address = listener.address();
	await new Promise((resolve) => listener.close(resolve));
	return typeof address === "object" && address !== null ? address.port : 0;
}

function openChannel(address: string, timeouts: { connectMs?: number; retryMs?: number }): Channel {
	const channel = new Channel(address, timeouts);
	after(() => channel.close());
	return channel;
}

for (const [kind, call] of Object.entries(kinds)) {
	describe(kind, { timeout: 30_000 }, () => {
		it("ends with cancelled when its signal is aborted, and the handler knows", async () => {
			const silent = silentHandlers();
			const server = await startServerWith(silent.handlers);
			const caller = new AbortController();
			const answer = call(server.channel(), caller.signal);
			await waitUntil("the call to arrive", () => silent.calls() === 1);
			caller.abort();
			await assert.rejects(answer, errorWith("cancelled", /./));
			await waitUntil("the handler to know", () => silent.aborted() === 1);
			assert.equal(getEventListeners(caller.signal, "abort").length, 0);
		});

		it("ends with cancelled when its signal was aborted before", async () => {
			const silent = silentHandlers();
			const server = await startServerWith(silent.handlers);
			await assert.rejects(call(server.channel(), AbortSignal.abort()), errorWith("cancelled", /./));
			assert.equal(silent.calls(), silent.aborted());
		});

		it("leaves no listener behind on a signal that is never aborted", async () => {
			const server = await startServerWith({
				getServerInfo: async () => ({}),
				streamTrialMetrics: async function* () {
					yield {};
				},
				attend: async () => {},
			});
			const { signal } = new AbortController();
			await call(server.channel(), signal);
			assert.equal(getEventListeners(signal, "abort").length, 0);
		});

		it("ends with cancelled when its channel is closed, and cannot be made after", async () => {
			const silent = silentHandlers();
			const server = await startServerWith(silent.handlers);
			const channel = server.channel();
			const answer = call(channel);
			await waitUntil("the call to arrive", () => silent.calls() === 1);
			channel.close();
			await assert.rejects(answer, errorWith("cancelled", /./));
			await waitUntil("the handler to know", () => silent.aborted() === 1);
			await assert.rejects(call(channel), errorWith("cancelled", /closed/));
		});

		it("ends with unavailable when the connection is cut", async () => {
			const silent = silentHandlers();
			const server = await startServerWith(silent.handlers);
			const answer = call(server.channel({ connectMs: 100, retryMs: 0 }));
			await waitUntil("the call to arrive", () => silent.calls() === 1);
			const ended = assert.rejects(answer, errorWith("unavailable", /./));
			await server.close();
			await ended;
		});

		it("ends with unavailable when there is no server", async () => {
			const port = await freePort();
			const channel = openChannel(`127.0.0.1:${port}`, { connectMs: 200 });
			await assert.rejects(call(channel), errorWith("unavailable", new RegExp(`127\\.0\\.0\\.1:${port}`)));
		});

		it("ends with unavailable when the other end accepts and says nothing", async () => {
			const sockets = new Set<Socket>();
			const mute: Server = createServer((socket) => void sockets.add(socket.on("error", () => {})));
			const port = await new Promise<number>((resolve) =>
				mute.listen(0, "127.0.0.1", () => resolve((mute.address() as { port: number }).port)),
			);
			after(() => {
				for (const socket of sockets) {
					socket.destroy();
				}
				mute.close();
			});
			const channel = openChannel(`127.0.0.1:${port}`, { connectMs: 300 });
			await assert.rejects(call(channel), errorWith("unavailable", new RegExp(`127\\.0\\.0\\.1:${port}`)));
		});

		it("is resource_exhausted when a message is larger than the limit", async () => {
			const huge = "x".repeat(maxMessageBytes);
			const server = await startServerWith({
				getServerInfo: async () => ({ version: huge }),
				streamTrialMetrics: async function* () {
					yield { reports: [{ metricsJson: huge }] };
				},
				attend: async (_, context) => context.send({ message: { case: "ended", value: { reason: huge } } }),
			});
			await assert.rejects(
				call(server.channel()),
				errorWith(
					"resource_exhausted",
					new RegExp(`message.*\\(${maxMessageBytes + 7} vs\\. ${maxMessageBytes}\\)|larger`),
				),
			);
		});
	});
}

describe("a repeatable call", { timeout: 30_000 }, () => {
	it("fails within connectMs, with a sentence that names the address, when there was never a server", async () => {
		const port = await freePort();
		const channel = openChannel(`127.0.0.1:${port}`, { connectMs: 400, retryMs: 60_000 });
		const start = performance.now();
		await assert.rejects(
			clientsOf(channel).getServerInfo({}),
			errorWith(
				"unavailable",
				new RegExp(
					`^no answer from a Millrace server at 127\\.0\\.0\\.1:${port} for \\d\\.\\d s; is it running\\? \\(.+\\)$`,
				),
			),
		);
		const took = performance.now() - start;
		assert.ok(took < 1_500, `it took ${took} ms`);
	});

	it("reaches a server that starts meanwhile", async () => {
		const port = await freePort();
		const channel = openChannel(`127.0.0.1:${port}`, { connectMs: 10_000 });
		const answer = clientsOf(channel).getServerInfo({});
		await waitUntil("a first attempt to fail", () => channel.grpc.getChannel().getConnectivityState(false) === 3);
		await startServerWith({ getServerInfo: async () => ({ version: "late" }) }, port);
		assert.equal((await answer).version, "late");
	});

	for (const [kind, start] of [
		["unary", (channel: Channel) => clientsOf(channel).getServerInfo({})],
		["server stream", (channel: Channel) => readAll(clientsOf(channel).streamTrialMetrics({}))],
	] as const) {
		it(`that is made while the server is away succeeds when it is back on its port (${kind})`, async () => {
			const handlers: Handlers = {
				getServerInfo: async () => ({}),
				streamTrialMetrics: async function* () {
					yield {};
				},
			};
			const first = await startServerWith(handlers);
			const channel = first.channel({ connectMs: 500, retryMs: 20_000 });
			await clientsOf(channel).getServerInfo({});
			await first.close();
			let settled = false;
			const answer = start(channel).finally(() => {
				settled = true;
			});
			await waitUntil("a connection to be refused", () => channel.grpc.getChannel().getConnectivityState(false) === 3);
			assert.equal(settled, false);
			await startServerWith(handlers, first.port);
			await answer;
		});
	}

	it("that was in flight when the server died is sent again", async () => {
		const silent = silentHandlers();
		const first = await startServerWith(silent.handlers);
		const answer = clientsOf(first.channel()).getServerInfo({});
		await waitUntil("the call to arrive", () => silent.calls() === 1);
		await first.close();
		await startServerWith({ getServerInfo: async () => ({ version: "second" }) }, first.port);
		assert.equal((await answer).version, "second");
	});

	it("fails at once with retryMs 0, of the channel or of the call", async () => {
		const first = await startServerWith({ getServerInfo: async () => ({}) });
		const channel = first.channel({ connectMs: 20_000, retryMs: 20_000 });
		const impatient = first.channel({ connectMs: 20_000, retryMs: 0 });
		await clientsOf(channel).getServerInfo({});
		await clientsOf(impatient).getServerInfo({});
		await first.close();
		const start = performance.now();
		await assert.rejects(clientsOf(channel).getServerInfo({}, { retryMs: 0 }), errorWith("unavailable", /for 0\.\d s/));
		await assert.rejects(clientsOf(impatient).getServerInfo({}), errorWith("unavailable", /for 0\.\d s/));
		assert.ok(performance.now() - start < 1_000);
	});

	it("stops when its signal is aborted between two attempts", async () => {
		const channel = openChannel(`127.0.0.1:${await freePort()}`, { connectMs: 60_000 });
		const caller = new AbortController();
		const answer = clientsOf(channel).getServerInfo({}, { signal: caller.signal });
		await waitUntil("an attempt to fail", () => channel.grpc.getChannel().getConnectivityState(false) === 3);
		caller.abort();
		await assert.rejects(answer, errorWith("cancelled", /./));
		assert.equal(getEventListeners(caller.signal, "abort").length, 0);
	});

	it("is not repeated after any other error", async () => {
		let calls = 0;
		const server = await startServerWith({
			getServerInfo: async () => {
				calls += 1;
				throw new MillraceError("aborted", "reread and retry");
			},
		});
		await assert.rejects(clientsOf(server.channel()).getServerInfo({}), errorWith("aborted", /reread/));
		assert.equal(calls, 1);
	});

	it("is a stream only until its first message", async () => {
		let calls = 0;
		const first = await startServerWith({
			streamTrialMetrics: async function* (_, { signal }) {
				calls += 1;
				yield {};
				await new Promise((resolve) => signal.addEventListener("abort", resolve));
			},
		});
		const messages = clientsOf(first.channel()).streamTrialMetrics({})[Symbol.asyncIterator]();
		await messages.next();
		const next = assert.rejects(messages.next(), errorWith("unavailable", /./));
		await first.close();
		await next;
		assert.equal(calls, 1);
	});
});

describe("a call that may not be repeated", { timeout: 30_000 }, () => {
	it("fails at once when the server is away", async () => {
		const first = await startServerWith({ getServerInfo: async () => ({}) });
		const channel = first.channel({ connectMs: 20_000, retryMs: 20_000 });
		const client = createRpcClient(UnrepeatableServerService, channel);
		await client.getServerInfo({});
		await first.close();
		const start = performance.now();
		await assert.rejects(client.getServerInfo({}), errorWith("unavailable", new RegExp(first.address)));
		assert.ok(performance.now() - start < 1_000);
	});

	it("is not sent twice when the server dies over it", async () => {
		const silent = silentHandlers();
		const first = await startServerWith(silent.handlers);
		const answer = createRpcClient(UnrepeatableServerService, first.channel()).getServerInfo({});
		await waitUntil("the call to arrive", () => silent.calls() === 1);
		const ended = assert.rejects(answer, errorWith("unavailable", /./));
		await first.close();
		await ended;
		assert.equal(silent.calls(), 1);
	});
});

describe("a stream in both directions", { timeout: 30_000 }, () => {
	it("keeps its error for a reader who comes later, and throws it at nobody else", async () => {
		const server = await startServerWith({
			attend: async () => {
				throw new MillraceError("not_found", "trial 9 not found");
			},
		});
		const channel = server.channel();
		const call = clientsOf(channel).attend();
		// The answer to a call that is made later comes later.
		await assert.rejects(clientsOf(channel).getServerInfo({}), errorWith("unimplemented", /not here/));
		await assert.rejects(readAll(call), errorWith("not_found", /^trial 9 not found$/));
		const unread = clientsOf(channel).attend();
		unread.send({ message: { case: "leave", value: {} } });
		unread.cancel();
		unread.cancel();
		unread.send({ message: { case: "leave", value: {} } });
		unread.end();
		unread.send({ message: { case: "leave", value: {} } });
		await assert.rejects(readAll(unread), errorWith("cancelled", /./));
	});
});

describe("a call that is answered by one message", { timeout: 30_000 }, () => {
	it("fails with deadline_exceeded, which names method and server, when the answer takes too long", async () => {
		const silent = silentHandlers();
		const server = await startServerWith(silent.handlers);
		await assert.rejects(
			clientsOf(server.channel()).getServerInfo({}, { timeoutMs: 200 }),
			errorWith(
				"deadline_exceeded",
				new RegExp(
					`^the Millrace server at ${server.address} did not answer GetServerInfo within 0\\.2 s; it may have done`,
				),
			),
		);
		await waitUntil("the handler to know", () => silent.aborted() === 1);
	});
});

describe("the stored server stream", { timeout: 30_000 }, () => {
	it("sends nothing until it is read", async () => {
		let calls = 0;
		const server = await startServerWith({
			streamTrialMetrics: async function* () {
				calls += 1;
				yield {};
			},
		});
		const { streamTrialMetrics } = clientsOf(server.channel());
		streamTrialMetrics({});
		await readAll(streamTrialMetrics({}));
		assert.equal(calls, 1);
	});

	it("says what is wrong with a request that cannot be encoded when it is made", async () => {
		const { streamTrialMetrics } = clientsOf(openChannel("127.0.0.1:1", {}));
		assert.throws(() => streamTrialMetrics({ trialIds: [1.5] }), /1\.5/);
	});
});
