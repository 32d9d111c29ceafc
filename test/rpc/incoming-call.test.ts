import assert from "node:assert/strict";
import { constants } from "node:http2";
import { describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import { create, toBinary } from "@bufbuild/protobuf";
import { MillraceError } from "../../src/errors.js";
import { MetricService, ReportMetricsRequestSchema } from "../../src/gen/millrace/v1/metric_service_pb.js";
import { ServerService } from "../../src/gen/millrace/v1/server_service_pb.js";
import { createRpcClient } from "../../src/rpc/client.js";
import { type Gate, openGate } from "../../src/rpc/gate.js";
import type { ServiceHandlers } from "../../src/rpc/handler.js";
import { createCallMemory } from "../../src/rpc/limits/call-memory.js";
import { refusedForNow } from "../../src/rpc/pushback.js";
import { messageHead, type RawCall, rawCall, rawSession } from "../support/raw-grpc.js";
import { startRpcServer } from "../support/start-rpc-server.js";
import { waitUntil } from "../support/wait-until.js";

const mebibyte = 1024 * 1024;
const exhausted = 8;

type Handlers = Partial<ServiceHandlers<typeof MetricService>>;

type StartOptions = Handlers & { readonly gate?: Gate; readonly requestMs?: number };

/** Lets all in, as strangers on a server with accounts who call what everyone may call. */
const strangersGate: Gate = {
	async admit(call) {
		return { ...(await openGate.admit(call)), caller: { kind: "anonymous" } };
	},
};

/** A server of metrics, which counts the requests that reached a handler. */
async function startMetricServer({ gate = openGate, requestMs = 300_000, ...handlers }: StartOptions = {}) {
	const memory = createCallMemory();
	const unused = () => assert.fail("not called");
	const requests: number[] = [];
	const server = await startRpcServer(
		(rpc) => {
			rpc.add(ServerService, { getServerInfo: async () => ({}) });
			rpc.add(MetricService, {
				reportMetrics: async ({ clientId }) => {
					requests.push(clientId.length);
					return {};
				},
				streamTrialMetrics: unused,
				streamCheckpointMetrics: unused,
				streamModelVersionMetrics: unused,
				summarizeMetrics: unused,
				...handlers,
			});
		},
		0,
		{ gate, memory, requestMs },
	);
	return { server, memory, requests };
}

/** Starts a report without sending any of it. */
function startReport(address: string, headers: Record<string, string> = {}): RawCall {
	const call = rawCall(rawSession(address), "/millrace.v1.MetricService/ReportMetrics", headers);
	call.stream.resume();
	return call;
}

function reportOf(bytes: number): Uint8Array {
	return toBinary(ReportMetricsRequestSchema, create(ReportMetricsRequestSchema, { clientId: "x".repeat(bytes) }));
}

describe("a call as it comes in", { timeout: 60_000 }, () => {
	it("is refused before its request is received", async () => {
		const refusal = new MillraceError("unauthenticated", "log in");
		const { server, memory, requests } = await startMetricServer({ gate: { admit: () => Promise.reject(refusal) } });
		const call = startReport(server.address);
		call.stream.write(Buffer.concat([messageHead(31 * mebibyte), Buffer.alloc(31 * mebibyte)]));
		const { code, message } = await call.ended;
		assert.deepEqual({ code, message }, { code: 16, message: "log in" });
		assert.equal(memory.requests.bytes, 0);
		assert.deepEqual(requests, []);
	});

	it("is refused by the head of a request that is too large", async () => {
		const { server, memory } = await startMetricServer();
		const call = startReport(server.address);
		call.stream.write(messageHead(32 * mebibyte + 1));
		const { code, message } = await call.ended;
		assert.equal(code, exhausted);
		assert.equal(message, "the request has 33554433 bytes; at most 33554432 are taken: send less at a time");
		assert.equal(memory.requests.bytes, 0);
	});

	it("is refused when two requests come for one answer", async () => {
		const { server, requests } = await startMetricServer();
		const call = startReport(server.address);
		const message = reportOf(10);
		const one = Buffer.concat([messageHead(message.length), message]);
		call.stream.end(Buffer.concat([one, one]));
		assert.deepEqual((await call.ended).message, "two requests were sent for one call; send one");
		assert.deepEqual(requests, []);
	});

	it("is refused when no request came, or not all of it", async () => {
		const { server, requests } = await startMetricServer();
		for (const sent of [Buffer.alloc(0), messageHead(10).subarray(0, 3), messageHead(10), reportOf(3).subarray(0, 1)]) {
			const call = startReport(server.address);
			call.stream.end(sent);
			const { code, message } = await call.ended;
			assert.deepEqual({ code, message }, { code: 3, message: "the request did not come whole; send it again" });
		}
		assert.deepEqual(requests, []);
	});

	it("is refused when its request does not come to an end in time", async () => {
		const { server, memory } = await startMetricServer({ requestMs: 100 });
		const call = startReport(server.address);
		call.stream.write(messageHead(mebibyte));
		const { code, message } = await call.ended;
		assert.equal(code, 4);
		assert.equal(message, "the request did not come to its end within 0.1 s; send less at a time");
		assert.equal(memory.requests.bytes, 0);
	});

	it("may be answered for longer than a request may take", async () => {
		const steps = 5;
		const { server } = await startMetricServer({
			requestMs: 50,
			async *streamTrialMetrics() {
				for (let step = 0; step < steps; step++) {
					await new Promise((resolve) => setTimeout(resolve, 50));
					yield { reports: [{ trialId: step }] };
				}
			},
		});
		let read = 0;
		for await (const { reports } of createRpcClient(MetricService, server.channel()).streamTrialMetrics({})) {
			read += reports.length;
		}
		assert.equal(read, steps);
	});

	for (const [when, headers, expected] of [
		["is refused", {}, exhausted],
		// The transport ends it for its malformed deadline, in the same breath.
		["is over before it is refused", { "grpc-timeout": "x" }, 13],
	] as const) {
		it(`that ${when} keeps nothing of its request`, async () => {
			const refusal = refusedForNow("try again", 100);
			const { server } = await startMetricServer({ gate: { admit: () => Promise.reject(refusal) } });
			const session = rawSession(server.address);
			const path = "/millrace.v1.MetricService/ReportMetrics";
			for (let count = 0; count < 12; count++) {
				const { stream, ended } = rawCall(session, path, headers);
				stream.resume();
				stream.write(Buffer.alloc(10_000));
				assert.equal((await ended).code, expected);
				stream.end(Buffer.alloc(10_000));
			}
			// What is left of a call would hold up the server's end.
			await server.close(120_000);
		});
	}

	it("of a stranger is refused by the head of a request that is larger than they have to be, and takes no memory", async () => {
		const { server, memory } = await startMetricServer({ gate: strangersGate });
		for (const head of [messageHead(64 * 1024 + 1), messageHead(2_000, true)]) {
			const call = startReport(server.address, head[0] === 1 ? { "grpc-encoding": "gzip" } : {});
			call.stream.write(head);
			const { code, message } = await call.ended;
			assert.equal(code, exhausted);
			assert.match(
				message,
				/^the request has (65537|2000) bytes; at most (65536|1024) are taken: send less at a time$/,
			);
		}
		assert.equal(memory.requests.bytes, 0);
	});

	it("is handled with the largest request, in pieces of any size", async () => {
		const { server, memory, requests } = await startMetricServer();
		const call = startReport(server.address);
		const message = reportOf(31 * mebibyte);
		const whole = Buffer.concat([messageHead(message.length), message]);
		// The head alone comes in three pieces.
		for (const [from, to] of [
			[0, 1],
			[1, 4],
			[4, 700],
			[700, whole.length],
		]) {
			call.stream.write(whole.subarray(from, to));
		}
		call.stream.end();
		assert.equal((await call.ended).code, 0);
		assert.deepEqual(requests, [31 * mebibyte]);
		await waitUntil("the memory is given back", () => memory.requests.bytes === 0);
	});

	it("of a client that goes away gives its memory back", async () => {
		const { server, memory } = await startMetricServer();
		const call = startReport(server.address);
		call.stream.write(Buffer.concat([messageHead(31 * mebibyte), Buffer.alloc(mebibyte)]));
		await waitUntil("some of it has come", () => memory.requests.bytes > 0);
		call.stream.session?.destroy();
		await waitUntil("the memory is given back", () => memory.requests.bytes === 0);
	});
});

describe("the memory of large requests", { timeout: 60_000 }, () => {
	const large = reportOf(31 * mebibyte);
	const takers = [
		{
			who: "send theirs slowly",
			sent: Buffer.concat([messageHead(large.length), Buffer.alloc(60_000)]),
			why: /^of the \d+ bytes of the request \d+ came within \d+\.\d s, while other large requests waited/,
		},
		{
			who: "never end theirs",
			sent: Buffer.concat([messageHead(large.length), large]),
			why: /^of the (\d+) bytes of the request \1 came within \d+\.\d s, but not its end, while other large/,
		},
	];
	for (const { who, sent, why } of takers) {
		it(`is taken from those who ${who}, while others wait`, async () => {
			const { server, memory, requests } = await startMetricServer();
			const calls = Array.from({ length: 2 }, () => startReport(server.address));
			for (const { stream } of calls) {
				stream.write(sent);
			}
			await waitUntil("both have begun", () => memory.requests.bytes === 2 * large.length);
			const { reportMetrics } = createRpcClient(MetricService, server.channel());
			await reportMetrics({ clientId: "y".repeat(20 * mebibyte) });
			assert.deepEqual(requests, [20 * mebibyte]);
			const { code, message } = await Promise.race(calls.map(({ ended }) => ended));
			assert.equal(code, exhausted);
			assert.match(message, why);
		});
	}

	it("leaves small requests alone", async () => {
		const { server, memory, requests } = await startMetricServer();
		const large = Array.from({ length: 20 }, () => startReport(server.address));
		for (const { stream } of large) {
			stream.write(Buffer.concat([messageHead(32 * mebibyte), Buffer.alloc(64 * 1024)]));
		}
		await waitUntil("the memory is lent", () => memory.requests.bytes === 64 * mebibyte);
		const { reportMetrics } = createRpcClient(MetricService, server.channel({ connectMs: 5_000, retryMs: 0 }));
		for (let count = 0; count < 20; count++) {
			await reportMetrics({ clientId: "small" });
		}
		assert.equal(requests.length, 20);
	});

	it("is not unpacked into beyond what there is, by callers who never end their requests", async () => {
		const { server, memory } = await startMetricServer();
		const packed = gzipSync(reportOf(31 * mebibyte));
		const before = process.memoryUsage().rss;
		const calls = Array.from({ length: 20 }, () => startReport(server.address, { "grpc-encoding": "gzip" }));
		for (const { stream } of calls) {
			stream.write(Buffer.concat([messageHead(packed.length, true), packed]));
		}
		let refused = 0;
		for (const { ended } of calls) {
			void ended.then(({ code }) => {
				refused += code === exhausted ? 1 : 0;
			});
		}
		await waitUntil("the others are refused", () => refused >= 18);
		assert.ok(memory.requests.bytes <= 64 * mebibyte, `${memory.requests.bytes}`);
		const grown = process.memoryUsage().rss - before;
		assert.ok(grown < 300 * mebibyte, `${grown}`);
	});

	it("takes a packed request when there is room", async () => {
		const { server, requests } = await startMetricServer();
		const packed = gzipSync(reportOf(mebibyte));
		const call = startReport(server.address, { "grpc-encoding": "gzip" });
		call.stream.end(Buffer.concat([messageHead(packed.length, true), packed]));
		assert.equal((await call.ended).code, 0);
		assert.deepEqual(requests, [mebibyte]);
	});
});

describe("the memory of answers that nobody reads", { timeout: 60_000 }, () => {
	it("is bounded, and those are cut who have read nothing for the longest, while others read all", async () => {
		let made = 0;
		const { server, memory } = await startMetricServer({
			async *streamTrialMetrics({ group }, { inTurn, signal }) {
				for (let count = 0; !signal.aborted && count < 100; count++) {
					yield await inTurn(async () => {
						made++;
						return { reports: [{ group, metricsJson: `"${"m".repeat(256 * 1024)}"` }] };
					});
				}
			},
		});
		const calls = Array.from({ length: 60 }, () =>
			rawCall(rawSession(server.address), "/millrace.v1.MetricService/StreamTrialMetrics"),
		);
		let cut = 0;
		for (const { stream, ended } of calls) {
			stream.end(messageHead(0));
			void ended.then(({ rstCode }) => {
				cut += rstCode === constants.NGHTTP2_ENHANCE_YOUR_CALM ? 1 : 0;
			});
		}
		await waitUntil("answers wait to be read", () => memory.answers.bytes > 0);
		const { streamTrialMetrics } = createRpcClient(MetricService, server.channel());
		let read = 0;
		for await (const { reports } of streamTrialMetrics({ group: "read" })) {
			read += reports.length;
		}
		assert.equal(read, 100);
		assert.ok(made < 60 * 100, `${made}`);
		assert.ok(memory.answers.bytes < 64 * mebibyte, `${memory.answers.bytes}`);
		await waitUntil("some are cut", () => cut > 0, 20_000);
		for (const { stream } of calls) {
			stream.session?.destroy();
		}
		await waitUntil("nothing is held for those who went", () => memory.answers.bytes === 0);
	});

	it("is bounded for reflection, too, which everyone may ask", async () => {
		const { server } = await startMetricServer();
		const call = rawCall(rawSession(server.address), "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo");
		const symbol = Buffer.from("millrace.v1.MetricService");
		const message = Buffer.concat([Buffer.of(0x22, symbol.length), symbol]);
		const asked = Buffer.concat([messageHead(message.length), message]);
		call.stream.write(Buffer.concat(Array.from({ length: 2_000 }, () => asked)));
		assert.equal((await call.ended).rstCode, constants.NGHTTP2_ENHANCE_YOUR_CALM);
	});
});
