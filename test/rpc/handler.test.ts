import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { MillraceError } from "../../src/errors.js";
import { MetricService } from "../../src/gen/millrace/v1/metric_service_pb.js";
import { RendezvousService } from "../../src/gen/millrace/v1/rendezvous_service_pb.js";
import { ServerService } from "../../src/gen/millrace/v1/server_service_pb.js";
import { TrialService } from "../../src/gen/millrace/v1/trial_service_pb.js";
import { maxMessageBytes } from "../../src/rpc/channel.js";
import { createRpcClient } from "../../src/rpc/client.js";
import type { CallContext, ServiceHandlers } from "../../src/rpc/handler.js";
import { errorWith } from "../support/error-with.js";
import { startRpcServer } from "../support/start-rpc-server.js";
import { waitUntil } from "../support/wait-until.js";

type StreamTrialMetrics = ServiceHandlers<typeof MetricService>["streamTrialMetrics"];

/** A server whose one server stream is `handler`, and the function that calls it. */
async function startStreamServer(handler: StreamTrialMetrics) {
	const unused = () => {
		throw new MillraceError("unimplemented", "not here");
	};
	const server = await startRpcServer((rpc) =>
		rpc.add(MetricService, {
			reportMetrics: unused,
			streamTrialMetrics: handler,
			streamCheckpointMetrics: unused,
			streamModelVersionMetrics: unused,
			summarizeMetrics: unused,
		}),
	);
	const client = createRpcClient(MetricService, server.channel());
	return { server, read: client.streamTrialMetrics };
}

/** Waits until a count has stopped growing, and returns it. */
async function settled(what: string, count: () => number): Promise<number> {
	let last = -1;
	let same = 0;
	await waitUntil(what, () => {
		same = count() === last ? same + 1 : 0;
		last = count();
		return same === 10;
	});
	return last;
}

const reportOf = (trialId: number, metricsJson = "{}") => ({ reports: [{ trialId, metricsJson }] });

describe("a unary handler", { timeout: 30_000 }, () => {
	it("gets the request and the caller's address, and its answer arrives", async () => {
		let context: CallContext | undefined;
		const server = await startRpcServer((rpc) =>
			rpc.add(ServerService, {
				getServerInfo: async (_, given) => {
					context = given;
					return { version: "1.2.3", dataDirectory: "/数据" };
				},
			}),
		);
		const answer = await createRpcClient(ServerService, server.channel()).getServerInfo({});
		assert.deepEqual([answer.version, answer.dataDirectory], ["1.2.3", "/数据"]);
		assert.match(context?.peer ?? "", /^127\.0\.0\.1:\d+$/);
	});

	it("learns by its signal that the caller has gone away", async () => {
		let context: CallContext | undefined;
		let finish: (answer: object) => void = () => {};
		const server = await startRpcServer((rpc) =>
			rpc.add(ServerService, {
				getServerInfo: (_, given) => {
					context = given;
					return new Promise((resolve) => {
						finish = resolve;
					});
				},
			}),
		);
		const caller = new AbortController();
		const call = createRpcClient(ServerService, server.channel()).getServerInfo({}, { signal: caller.signal });
		await waitUntil("the call to arrive", () => context);
		assert.equal(context?.signal.aborted, false);
		caller.abort();
		await assert.rejects(call, errorWith("cancelled", /cancelled by the caller/));
		await waitUntil("the handler to know", () => context?.signal.aborted);
		finish({});
		assert.deepEqual(server.logged, []);
	});
});

describe("a handler of a server stream", { timeout: 30_000 }, () => {
	it("is held back by a slow reader, who gets everything in the end", async () => {
		const count = 400;
		let produced = 0;
		const body = JSON.stringify("x".repeat(64 * 1024));
		const { read } = await startStreamServer(async function* () {
			while (produced < count) {
				yield reportOf(++produced, body);
			}
		});
		let received = 0;
		let ahead = 0;
		for await (const { reports } of read({ trialIds: [1] })) {
			received += 1;
			assert.deepEqual([reports[0]?.trialId, reports[0]?.metricsJson.length], [received, body.length]);
			if (received === 1 || received === 200) {
				ahead = Math.max(ahead, (await settled("the producer to pause", () => produced)) - received);
			}
		}
		assert.equal(received, count);
		// 16 messages wait in grpc-js on either side, and some of these 64 KiB are on their way in the kernel.
		assert.ok(ahead > 0 && ahead < 120, `the producer was ${ahead} messages ahead`);
	});

	it("is cancelled when the reader stops early, wherever it waits", async () => {
		const waits: Record<string, (signal: AbortSignal) => Promise<unknown>> = {
			"for the reader": async () => {},
			"for something else": (signal) =>
				new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true })),
		};
		for (const [where, wait] of Object.entries(waits)) {
			let context: CallContext | undefined;
			let finished = false;
			const { read, server } = await startStreamServer(async function* (_, given) {
				context = given;
				try {
					yield reportOf(1);
					for (;;) {
						await wait(given.signal);
						yield reportOf(2, JSON.stringify("x".repeat(64 * 1024)));
					}
				} finally {
					finished = true;
				}
			});
			for await (const { reports } of read({ trialIds: [1] })) {
				assert.equal(reports[0]?.trialId, 1);
				break;
			}
			await waitUntil(`the handler that waits ${where} to finish`, () => finished);
			assert.equal(context?.signal.aborted, true);
			assert.deepEqual(server.logged, []);
		}
	});

	it("may fail after some messages, which arrive before its error", async () => {
		const { read } = await startStreamServer(async function* () {
			yield reportOf(1);
			yield reportOf(2);
			throw new MillraceError("data_loss", "page 3 is torn");
		});
		const ids: (number | undefined)[] = [];
		await assert.rejects(
			async () => {
				for await (const { reports } of read({ trialIds: [1] })) {
					ids.push(reports[0]?.trialId);
				}
			},
			errorWith("data_loss", /^page 3 is torn$/),
		);
		assert.deepEqual(ids, [1, 2]);
	});

	it("fails as internal error, logged, when it throws before it returns a stream", async () => {
		const { read, server } = await startStreamServer(() => {
			throw new TypeError("nothing to iterate");
		});
		await assert.rejects(
			async () => {
				for await (const _ of read({ trialIds: [1] })) {
					assert.fail("a message");
				}
			},
			errorWith("internal", /^internal error$/),
		);
		assert.equal(server.logged.length, 1);
	});
});

describe("a handler of a stream in both directions", { timeout: 30_000 }, () => {
	const joined = (trialRunId: number) => ({ message: { case: "joined" as const, value: { trialRunId } } });
	const leave = (reason: string) => ({ message: { case: "leave" as const, value: { reason } } });

	it("answers messages while they come, and ends the call when its promise settles", async () => {
		const server = await startRpcServer((rpc) =>
			rpc.add(RendezvousService, {
				attend: async (requests, context) => {
					for await (const { message } of requests) {
						assert.equal(message.case, "leave");
						context.send(joined(Number(message.value.reason)));
					}
					context.send(joined(-1));
				},
			}),
		);
		const call = createRpcClient(RendezvousService, server.channel()).attend();
		const received: unknown[] = [];
		call.send(leave("1"));
		for await (const { message } of call) {
			const run = message.case === "joined" ? message.value.trialRunId : undefined;
			received.push(run);
			if (run === 3) {
				call.end();
			} else if (run !== -1) {
				call.send(leave(String(received.length + 1)));
			}
		}
		assert.deepEqual(received, [1, 2, 3, -1]);
	});

	it("fails the call with what it throws, also while the caller still sends", async () => {
		const server = await startRpcServer((rpc) =>
			rpc.add(RendezvousService, {
				attend: async (requests) => {
					for await (const { message } of requests) {
						throw new MillraceError("aborted", `no ${message.case}`);
					}
				},
			}),
		);
		const call = createRpcClient(RendezvousService, server.channel()).attend();
		call.send(leave("1"));
		await assert.rejects(call[Symbol.asyncIterator]().next(), errorWith("aborted", /^no leave$/));
		call.send(leave("2"));
		call.end();
		call.send(leave("3"));
	});

	it("learns by its signal that the caller has gone away, and sends nothing more", async () => {
		let context: CallContext | undefined;
		let ended = "";
		const server = await startRpcServer((rpc) =>
			rpc.add(RendezvousService, {
				attend: async (requests, given) => {
					context = given;
					await (async () => {
						for await (const _ of requests) {
							given.send(joined(1));
						}
						ended = "the end";
					})().catch((error) => {
						ended = String(error);
					});
					given.send(joined(2));
				},
			}),
		);
		const call = createRpcClient(RendezvousService, server.channel()).attend();
		call.send(leave("1"));
		for await (const _ of call) {
			call.cancel();
			break;
		}
		await waitUntil("the handler to know", () => context?.signal.aborted && ended);
		assert.deepEqual(server.logged, []);
	});
});

describe("a request that no handler should see", { timeout: 30_000 }, () => {
	/** A server with one method of each kind, and a bare grpc-js client of it. */
	async function startBareCaller() {
		const handled: string[] = [];
		const handledStream = async function* () {
			handled.push("a stream");
			yield {};
		};
		const server = await startRpcServer((rpc) => {
			rpc.add(ServerService, {
				getServerInfo: async () => {
					handled.push("getServerInfo");
					return {};
				},
			});
			rpc.add(MetricService, {
				reportMetrics: async () => ({}),
				streamTrialMetrics: handledStream,
				streamCheckpointMetrics: handledStream,
				streamModelVersionMetrics: handledStream,
				summarizeMetrics: async () => ({}),
			});
			rpc.add(RendezvousService, {
				attend: async (requests) => {
					for await (const _ of requests) {
						handled.push("attend");
					}
				},
			});
		});
		const grpc = new Client(server.address, credentials.createInsecure(), {
			"grpc.max_send_message_length": -1,
		});
		const identity = (bytes: Buffer) => bytes;
		const send = (path: string, bytes: Buffer, streams: "unary" | "server" | "both" = "unary") =>
			new Promise<ServiceError>((resolve, reject) => {
				if (streams === "unary") {
					grpc.makeUnaryRequest(path, identity, identity, bytes, (error) =>
						error ? resolve(error) : reject(new Error("the call succeeded")),
					);
					return;
				}
				const isDuplex = streams === "both";
				const duplex = isDuplex ? grpc.makeBidiStreamRequest(path, identity, identity, new Metadata()) : undefined;
				const stream = duplex ?? grpc.makeServerStreamRequest(path, identity, identity, bytes);
				stream.on("error", (error) => resolve(error as ServiceError));
				stream.on("end", () => setImmediate(() => reject(new Error("the call succeeded"))));
				stream.resume();
				duplex?.write(bytes);
			}).finally(() => grpc.close());
		return { server, handled, send };
	}

	// A field of wire type 7, which does not exist.
	const malformed = Buffer.from([0x0f, 0xff]);

	for (const [streams, path, type] of [
		["unary", "/millrace.v1.ServerService/GetServerInfo", "millrace.v1.GetServerInfoRequest"],
		["server", "/millrace.v1.MetricService/StreamTrialMetrics", "millrace.v1.StreamTrialMetricsRequest"],
		["both", "/millrace.v1.RendezvousService/Attend", "millrace.v1.AttendRequest"],
	] as const) {
		it(`is invalid_argument naming ${type} when its bytes are malformed`, async () => {
			const { send, handled, server } = await startBareCaller();
			const error = await send(path, malformed, streams);
			assert.equal(error.code, 3);
			assert.match(error.details, new RegExp(`^malformed ${type}: `));
			assert.deepEqual(handled, []);
			assert.deepEqual(server.logged, []);
		});
	}

	it("is invalid_argument when its text is no UTF-8", async () => {
		const { send } = await startBareCaller();
		// The string of an AttendRequest's leave.
		const error = await send("/millrace.v1.RendezvousService/Attend", Buffer.from([26, 3, 10, 1, 0xff]), "both");
		assert.equal(error.code, 3);
		assert.match(error.details, /^malformed millrace\.v1\.AttendRequest\.leave\.reason: /);
	});

	it("is unimplemented when the method or the service does not exist", async () => {
		for (const path of ["/millrace.v1.ServerService/GetWeather", "/millrace.v1.WeatherService/GetWeather"]) {
			const { send } = await startBareCaller();
			const error = await send(path, Buffer.alloc(0));
			assert.equal(error.code, 12);
			assert.match(error.details, /GetWeather/);
		}
		const { server } = await startBareCaller();
		await assert.rejects(
			createRpcClient(TrialService, server.channel()).getTrial({ trialId: 1 }),
			errorWith("unimplemented", /GetTrial/),
		);
	});

	for (const [streams, path, most] of [
		["unary", "/millrace.v1.ServerService/GetServerInfo", maxMessageBytes],
		// What a stream is asked for is smaller.
		["server", "/millrace.v1.MetricService/StreamTrialMetrics", 1024 * 1024],
		["both", "/millrace.v1.RendezvousService/Attend", maxMessageBytes],
	] as const) {
		it(`is resource_exhausted when it is larger than the limit (${streams})`, async () => {
			const { send, handled, server } = await startBareCaller();
			const error = await send(path, Buffer.alloc(most + 1), streams);
			assert.equal(error.code, 8);
			assert.match(error.details, new RegExp(`at most ${most} are taken`));
			assert.deepEqual(handled, []);
			assert.deepEqual(server.logged, []);
		});
	}
});
