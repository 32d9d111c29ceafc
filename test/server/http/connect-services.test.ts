import assert from "node:assert/strict";
import { connect } from "node:net";
import { describe, it } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import type { JsonObject, Message } from "@bufbuild/protobuf";
import { type ErrorCode, MillraceError } from "../../../src/errors.js";
import { MetricService } from "../../../src/gen/millrace/v1/metric_service_pb.js";
import { ServerService } from "../../../src/gen/millrace/v1/server_service_pb.js";
import { maxMessageBytes } from "../../../src/rpc/channel.js";
import { type Gate, type IncomingCall, soleCaller } from "../../../src/rpc/gate.js";
import type { CallContext, ServiceHandlers } from "../../../src/rpc/handler.js";
import { refusedForNow } from "../../../src/rpc/pushback.js";
import { grpcStatusOf, httpStatusOf } from "../../../src/rpc/status.js";
import { documentedCodes } from "../../support/documented-codes.js";
import { envelope, envelopesOf, httpCall, httpRequest } from "../../support/http-call.js";
import { startHttpServices } from "../../support/start-http-services.js";
import { waitUntil } from "../../support/wait-until.js";

type GetServerInfo = ServiceHandlers<typeof ServerService>["getServerInfo"];
type StreamTrialMetrics = ServiceHandlers<typeof MetricService>["streamTrialMetrics"];
type Start = Parameters<typeof startHttpServices>[1];

const codes = documentedCodes().map(({ code }) => code as ErrorCode);
const { getServerInfo } = ServerService.method;
const { streamTrialMetrics, reportMetrics } = MetricService.method;
const path = "/millrace.v1.ServerService/GetServerInfo";
const json = { "content-type": "application/json" };

const startUnary = (handler: GetServerInfo, options: Start = {}) =>
	startHttpServices((services) => services.add(ServerService, { getServerInfo: handler }), options);

function startStream(handler: StreamTrialMetrics, options: Start = {}) {
	const unused = () => {
		throw new MillraceError("unimplemented", "not here");
	};
	return startHttpServices(
		(services) =>
			services.add(MetricService, {
				reportMetrics: async ({ reports }) => ({ statuses: reports.map(() => ({})) }),
				streamTrialMetrics: handler,
				streamCheckpointMetrics: unused,
				streamModelVersionMetrics: unused,
				summarizeMetrics: unused,
			}),
		options,
	);
}

const reportOf = (trialId: number, metricsJson = "{}") => ({ reports: [{ trialId, metricsJson }] });

/** A gate that keeps what came to it, and lets all in whom `refusal` does not stop. */
function watchingGate(refusal?: MillraceError, revoked = new AbortController()) {
	const calls: IncomingCall[] = [];
	const checked: Message[] = [];
	const ends: string[] = [];
	const gate: Gate = {
		async admit(call) {
			calls.push(call);
			if (refusal !== undefined) {
				throw refusal;
			}
			return {
				caller: soleCaller,
				revoked: revoked.signal,
				check: async (request) => void checked.push(request),
				end: (outcome) => void ends.push(outcome),
			};
		},
	};
	return { gate, calls, checked, ends };
}

describe("a call with one answer", { timeout: 30_000 }, () => {
	it("gets the request and the caller, and its answer arrives with every field", async () => {
		let context: CallContext | undefined;
		const server = await startUnary(async (_, given) => {
			context = given;
			return { version: "1.2.3", dataDirectory: "/数据" };
		});
		const { status, headers, messages } = await httpCall(server.address, getServerInfo);
		assert.deepEqual([status, headers.get("content-type")], [200, "application/json"]);
		assert.deepEqual(messages, [{ version: "1.2.3", clusterId: "", dataDirectory: "/数据", hasAccounts: false }]);
		assert.match(context?.peer ?? "", /^127\.0\.0\.1:\d+$/);
		assert.deepEqual(context?.caller, soleCaller);
	});

	it("takes names as the protos spell them and as JSON does", async () => {
		const server = await startStream(async function* () {});
		for (const report of [
			{ trialId: 1, stepsCompleted: 2 },
			{ trial_id: 1, steps_completed: 2 },
		]) {
			const { messages } = await httpCall(server.address, reportMetrics, { reports: [report] });
			assert.deepEqual(messages, [{ statuses: [{ code: 0, message: "" }] }]);
		}
	});

	it("may be a GET where it only reads", async () => {
		const server = await startUnary(async () => ({ version: "1" }));
		for (const message of [`message=${encodeURIComponent("{}")}`, "base64=1&message=e30"]) {
			const response = await fetch(`${server.address}${path}?connect=v1&encoding=json&${message}`);
			assert.equal(((await response.json()) as { version: string }).version, "1");
		}
		for (const [query, words] of [
			["", /encoding is missing; send \?encoding=json/],
			["?encoding=proto&message=", /encoding is "proto"/],
			["?encoding=json&base64=1&message=%7B%7D", /message is "\{\}", which is not base64/],
		] as const) {
			const response = await fetch(`${server.address}${path}${query}`);
			assert.equal(response.status, 415);
			assert.match(((await response.json()) as { message: string }).message, words);
		}
	});

	it("takes and gives gzip, within the limit of a message", async () => {
		const server = await startUnary(async () => ({ version: "v".repeat(10_000) }));
		const call = (body: Uint8Array<ArrayBuffer>) =>
			fetch(`${server.address}${path}`, { method: "POST", headers: { ...json, "content-encoding": "gzip" }, body });
		const response = await call(gzipSync("{}"));
		assert.equal(response.headers.get("content-encoding"), "gzip");
		assert.equal(((await response.json()) as { version: string }).version.length, 10_000);
		const bomb = await call(gzipSync(Buffer.alloc(maxMessageBytes + 1, " ")));
		assert.equal(bomb.status, 429);
		assert.match(await bomb.text(), /has more than 33554432 bytes when it is unpacked/);
		const torn = await call(gzipSync("{}").subarray(0, 10));
		assert.equal(torn.status, 400);
		assert.match(await torn.text(), /the body is not what gzip makes/);
		const raw = await fetch(`${server.address}${path}`, {
			method: "POST",
			headers: { ...json, "accept-encoding": "identity" },
			body: "{}",
		});
		assert.equal(raw.headers.get("content-encoding"), null);
		assert.throws(() => gunzipSync("{}"));
	});

	it("fails with what the handler throws, for every code with the status of the one table", async () => {
		let thrown: Error = new Error();
		const server = await startUnary(() => Promise.reject(thrown));
		for (const code of codes) {
			thrown = new MillraceError(code, `it is ${code} “so”`);
			const { status, error } = await httpCall(server.address, getServerInfo);
			assert.equal(status, httpStatusOf(code), code);
			assert.deepEqual(error, { code: code === "cancelled" ? "canceled" : code, message: thrown.message });
		}
		assert.deepEqual(server.logged, []);
	});

	it("fails as internal error, logged with its stack, when the handler throws something else", async () => {
		const server = await startUnary(() => Promise.reject(new TypeError("secret")));
		const { status, error } = await httpCall(server.address, getServerInfo);
		assert.deepEqual([status, error], [500, { code: "internal", message: "internal error" }]);
		assert.equal(server.logged[0]?.message, "/millrace.v1.ServerService/GetServerInfo failed");
		assert.match((server.logged[0]?.error as Error | undefined)?.stack ?? "", /secret/);
	});

	it("ends at the deadline that its caller gives it", async () => {
		let context: CallContext | undefined;
		const server = await startUnary((_, given) => {
			context = given;
			return new Promise(() => {});
		});
		for (const ms of ["0", "50"]) {
			const { status, error } = await httpCall(
				server.address,
				getServerInfo,
				{},
				{ headers: { "connect-timeout-ms": ms } },
			);
			const message = `GetServerInfo took more than the ${ms} ms that its caller gave it`;
			assert.deepEqual([status, error], [504, { code: "deadline_exceeded", message }]);
		}
		assert.equal(context?.signal.aborted, true);
		for (const ms of ["soon", "-1", "1.5", "99999999999"]) {
			const headers = { "connect-timeout-ms": ms };
			const { status, error } = await httpCall(server.address, getServerInfo, {}, { headers });
			assert.equal(status, 400);
			assert.match(error?.message ?? "", new RegExp(`^connect-timeout-ms is "${ms}"; send a whole number`));
		}
	});

	it("takes a deadline that no timer can wait for", async () => {
		const server = await startStream(async function* () {
			yield reportOf(1);
		});
		const headers = { "connect-timeout-ms": "9999999999" };
		for (const method of [streamTrialMetrics, reportMetrics]) {
			assert.equal((await httpCall(server.address, method, {}, { headers })).error, undefined);
		}
	});

	it("learns by its signal that the caller has gone away", async () => {
		let context: CallContext | undefined;
		let finish: (answer: object) => void = () => {};
		const { gate, ends } = watchingGate();
		const server = await startUnary(
			(_, given) => {
				context = given;
				return new Promise((resolve) => {
					finish = resolve;
				});
			},
			{ gate },
		);
		const caller = new AbortController();
		const call = httpCall(server.address, getServerInfo, {}, { signal: caller.signal });
		await waitUntil("the call to arrive", () => context);
		assert.equal(context?.signal.aborted, false);
		caller.abort();
		await assert.rejects(call, /abort/);
		await waitUntil("the handler to know", () => context?.signal.aborted);
		finish({});
		await waitUntil("the end of the call", () => ends.length > 0);
		assert.deepEqual(server.logged, []);
	});
});

describe("a request that is no message", { timeout: 30_000 }, () => {
	const refused: [what: string, body: string | Uint8Array<ArrayBuffer>, words: RegExp][] = [
		["malformed JSON", '{"reports": [}', /^malformed millrace\.v1\.ReportMetricsRequest: Unexpected token '?\}'?/],
		["nothing", "", /^malformed millrace\.v1\.ReportMetricsRequest: the request is empty; send at least \{\}$/],
		["a list", "[]", /^malformed millrace\.v1\.ReportMetricsRequest: \[\] is no JSON object$/],
		[
			"an unknown field",
			'{"report": []}',
			/Request: "report" is no field; the fields are clientId, sequence, reports$/,
		],
		[
			"an unknown field of a part",
			'{"reports": [{}, {"trialID": 1}]}',
			/Request\.reports\[1\]: "trialID" is no field; /,
		],
		["a value of another type", '{"reports": [{"trialId": "x"}]}', /\.reports\[0\]\.trial_id: expected number .*"x"$/],
		["a part of another type", '{"reports": [3]}', /\.reports\[0\]: 3 is no JSON object$/],
		["a time that is none", '{"reports": [{"reportTime": "noon"}]}', /\.report_time: no google\.protobuf\.Timestamp: /],
		["text in another encoding", Buffer.from('{"clientId": "é"}', "latin1"), /: .*not valid for encoding utf-8/],
		[
			"a large one",
			`{"clientId": "${"x".repeat(1024 * 1024)}", "a": 1}`,
			/ReportMetricsRequest from JSON: key "a" is unknown/,
		],
		["two of a oneof", '{"reports": [{"checkpointUuid": "", "modelVersion": {}}]}', /\.reports\[0\]: .*oneof/],
	];
	for (const [what, body, words] of refused) {
		it(`is refused: ${what}`, async () => {
			const { gate, ends } = watchingGate();
			const server = await startStream(async function* () {}, { gate });
			const url = `${server.address}/millrace.v1.MetricService/ReportMetrics`;
			const response = await fetch(url, { method: "POST", headers: json, body });
			const error = (await response.json()) as { code: string; message: string };
			assert.deepEqual([response.status, error.code], [400, "invalid_argument"]);
			assert.match(error.message, words);
			assert.deepEqual(ends, ["invalid_argument"]);
			assert.deepEqual(server.logged, []);
		});
	}

	it("is refused in the last envelope where a stream would answer", async () => {
		const server = await startStream(async function* () {});
		const { status, error } = await httpCall(server.address, streamTrialMetrics, { trialId: 1 });
		assert.deepEqual([status, error?.code], [200, "invalid_argument"]);
		assert.match(error?.message ?? "", /StreamTrialMetricsRequest: "trialId" is no field/);
	});

	it("says after how long to come again when it is refused for now", async () => {
		const refusing: Gate = {
			async admit() {
				throw refusedForNow("one connection made more than 5 calls per second", 1_200);
			},
		};
		const server = await startUnary(async () => ({}), { gate: refusing });
		const { status, headers, error } = await httpCall(server.address, getServerInfo);
		assert.equal(status, 429);
		assert.equal(headers.get("retry-after"), "2");
		assert.deepEqual(error, {
			code: "resource_exhausted",
			message: "one connection made more than 5 calls per second",
		});
	});

	it("is refused when it is larger than a message, whether or not it says so", async () => {
		const server = await startUnary(async () => ({}));
		const body = Buffer.alloc(maxMessageBytes + 1, " ");
		const inPieces = new ReadableStream({
			start(controller) {
				for (let at = 0; at < body.length; at += 1024 * 1024) {
					controller.enqueue(body.subarray(at, at + 1024 * 1024));
				}
				controller.close();
			},
		});
		for (const sent of [{ body }, { body: inPieces, duplex: "half" as const }]) {
			const response = await fetch(`${server.address}${path}`, { method: "POST", headers: json, ...sent });
			assert.equal(response.status, 429);
			const { code, message } = (await response.json()) as { code: string; message: string };
			assert.equal(code, "resource_exhausted");
			assert.match(message, /33554432/);
		}
		const largest = Buffer.alloc(maxMessageBytes, " ");
		largest.write("{}");
		const response = await fetch(`${server.address}${path}`, { method: "POST", headers: json, body: largest });
		assert.equal(response.status, 200);
	});

	for (const [type, words] of [
		[undefined, /^content-type is missing; send the header content-type: application\/json/],
		["application/x-www-form-urlencoded", /^content-type is "application\/x-www-form-urlencoded"; send/],
		["text/plain;charset=UTF-8", /^content-type is "text\/plain;charset=UTF-8"; send/],
		["application/json; charset=latin1", /^content-type is "application\/json; charset=latin1"; send/],
		["application/proto", /^content-type is "application\/proto"; send/],
		["application/connect+json", /^content-type is "application\/connect\+json"; send/],
	] as const) {
		it(`is refused before the gate when it does not say that it is JSON: ${type}`, async () => {
			const { gate, calls } = watchingGate();
			const server = await startUnary(async () => ({}), { gate });
			const headers: Record<string, string> = type === undefined ? {} : { "content-type": type };
			const response = await fetch(`${server.address}${path}`, { method: "POST", headers, body: Buffer.from("{}") });
			assert.equal(response.status, 415);
			const { code, message } = (await response.json()) as { code: string; message: string };
			assert.equal(code, "invalid_argument");
			assert.match(message, words);
			assert.deepEqual(calls, []);
		});
	}

	it("may spell its type in other ways", async () => {
		const server = await startUnary(async () => ({}));
		for (const type of ["Application/JSON", "application/json;charset=utf-8", 'application/json ; charset="UTF8"']) {
			const headers = { "content-type": type };
			const response = await fetch(`${server.address}${path}`, { method: "POST", headers, body: "{}" });
			assert.equal(response.status, 200, type);
		}
	});

	it("is refused where a stream answers and no envelope is announced", async () => {
		const server = await startStream(async function* () {});
		const headers = json;
		const { status, error } = await httpCall(server.address, streamTrialMetrics, {}, { headers });
		assert.equal(status, 415);
		assert.match(error?.message ?? "", /StreamTrialMetrics answers by a stream; send .*application\/connect\+json/);
	});
});

describe("the gate", { timeout: 30_000 }, () => {
	it("is asked before the body comes, and sees the headers and then the request", async () => {
		const { gate, calls, checked, ends } = watchingGate();
		const server = await startUnary(async () => ({}), { gate });
		const socket = connect(server.port, "127.0.0.1");
		const head =
			"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\nAuthorization: Bearer abc\r\n";
		socket.write(`POST ${path} HTTP/1.1\r\n${head}\r\n`);
		const call = await waitUntil("the gate to be asked", () => calls[0]);
		assert.equal(checked.length, 0);
		assert.deepEqual([call.method.name, call.authorization], ["GetServerInfo", "Bearer abc"]);
		assert.equal(call.metadataBytes, head.replaceAll(/: |\r\n/g, "").length);
		assert.equal(call.peer, `127.0.0.1:${socket.localPort}`);
		socket.write("{}");
		await waitUntil("the end of the call", () => ends.length === 1);
		assert.equal(checked[0]?.$typeName, "millrace.v1.GetServerInfoRequest");
		assert.deepEqual(ends, ["ok"]);
		socket.destroy();
	});

	it("refuses without the body being read, and says so in the form of the call", async () => {
		const { gate } = watchingGate(new MillraceError("unauthenticated", "who calls?"));
		const expected = { code: "unauthenticated", message: "who calls?" };
		const unary = await startUnary(async () => assert.fail("handled"), { gate });
		const answer = await httpCall(unary.address, getServerInfo, { nonsense: 1 });
		assert.deepEqual([answer.status, answer.error], [401, expected]);
		assert.equal(answer.headers.get("www-authenticate"), "Bearer");
		const get = await fetch(`${unary.address}${path}?encoding=json&message=nonsense`);
		assert.deepEqual([get.status, await get.json()], [401, expected]);
		const large = await httpCall(unary.address, getServerInfo, { nonsense: "x".repeat(maxMessageBytes) });
		assert.deepEqual([large.status, large.error], [401, expected]);
		const stream = await startStream(() => assert.fail("handled"), { gate });
		const streamed = await httpCall(stream.address, streamTrialMetrics, { nonsense: 1 });
		assert.deepEqual([streamed.status, streamed.error], [200, expected]);
	});

	it("refuses a body that waits to be asked for, which then is not sent", async () => {
		const { gate } = watchingGate(new MillraceError("unauthenticated", "who calls?"));
		const head =
			"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n";
		const ask = async (port: number) => {
			const socket = connect(port, "127.0.0.1");
			let text = "";
			socket.on("data", (bytes) => {
				text += bytes;
			});
			socket.write(`POST ${path} HTTP/1.1\r\n${head}\r\n`);
			const line = await waitUntil("an answer", () => /^HTTP\/1.1 .*\r\n/.exec(text)?.[0]);
			socket.destroy();
			return line;
		};
		assert.match(await ask((await startUnary(async () => ({}), { gate })).port), / 401 /);
		assert.match(await ask((await startUnary(async () => ({}))).port), / 100 Continue/);
	});

	it("stops a stream, and a call with one answer, whose caller may no longer go on", async () => {
		const revoked = new AbortController();
		const { gate, ends } = watchingGate(undefined, revoked);
		let started = 0;
		const unary = await startUnary(
			() => {
				started += 1;
				return new Promise(() => {});
			},
			{ gate },
		);
		const stream = await startStream(
			async function* (_, { signal }) {
				yield reportOf(1);
				started += 1;
				await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
			},
			{ gate },
		);
		const calls = [httpCall(unary.address, getServerInfo), httpCall(stream.address, streamTrialMetrics)];
		await waitUntil("both to be under way", () => started === 2);
		revoked.abort(new MillraceError("unauthenticated", "the token was revoked"));
		const expected = { code: "unauthenticated", message: "the token was revoked" };
		const [answer, streamed] = await Promise.all(calls);
		assert.deepEqual([answer?.status, answer?.error], [401, expected]);
		assert.deepEqual([streamed?.messages.length, streamed?.error], [1, expected]);
		assert.deepEqual(ends, ["unauthenticated", "unauthenticated"]);
	});
});

describe("a call answered by a stream", { timeout: 30_000 }, () => {
	it("may fail after some messages, which arrive before its error", async () => {
		const server = await startStream(async function* () {
			yield reportOf(1);
			yield reportOf(2);
			throw new MillraceError("data_loss", "page 3 is torn");
		});
		const { status, headers, messages, error } = await httpCall(server.address, streamTrialMetrics);
		assert.deepEqual([status, headers.get("content-type")], [200, "application/connect+json"]);
		assert.deepEqual(
			messages.map(({ reports }) => (reports as JsonObject[])[0]?.trialId),
			[1, 2],
		);
		assert.deepEqual(error, { code: "data_loss", message: "page 3 is torn" });
	});

	it("ends at the deadline that its caller gives it", async () => {
		const server = await startStream(async function* (_, { signal }) {
			yield reportOf(1);
			await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
		});
		const headers = { "connect-timeout-ms": "100" };
		const { messages, error } = await httpCall(server.address, streamTrialMetrics, {}, { headers });
		assert.equal(messages.length, 1);
		const message = "StreamTrialMetrics took more than the 100 ms that its caller gave it";
		assert.deepEqual(error, { code: "deadline_exceeded", message });
	});

	it("is held back by a reader who does not read, and ended when that one has gone", async () => {
		let produced = 0;
		let finished = false;
		const body = JSON.stringify("x".repeat(4 * 1024 * 1024));
		const { gate, ends } = watchingGate();
		const server = await startStream(
			async function* () {
				try {
					while (produced < 100) {
						yield reportOf(++produced, body);
					}
				} finally {
					finished = true;
				}
			},
			{ gate },
		);
		const socket = connect(server.port, "127.0.0.1");
		socket.pause();
		const sent = envelope("{}");
		const head = `Host: localhost\r\nContent-Type: application/connect+json\r\nContent-Length: ${sent.length}\r\n`;
		socket.write(`POST /millrace.v1.MetricService/StreamTrialMetrics HTTP/1.1\r\n${head}\r\n`);
		socket.write(sent);
		let last = -1;
		let same = 0;
		await waitUntil("the producer to pause", () => {
			same = produced === last && produced > 0 ? same + 1 : 0;
			last = produced;
			return same === 10;
		});
		// One waits here, and the kernel may have taken one more.
		assert.ok(produced <= 3, `the producer was ${produced} messages ahead`);
		assert.equal(finished, false);
		socket.destroy();
		await waitUntil("the handler to finish", () => finished);
		await waitUntil("the end of the call", () => ends.length === 1);
		assert.deepEqual(server.logged, []);
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
			const server = await startStream(async function* (_, given) {
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
			const caller = new AbortController();
			const response = await httpRequest(server.address, streamTrialMetrics, {}, { signal: caller.signal });
			for await (const { message } of envelopesOf(response)) {
				assert.equal((message.reports as JsonObject[])[0]?.trialId, 1);
				break;
			}
			caller.abort();
			await waitUntil(`the handler that waits ${where} to finish`, () => finished);
			assert.equal(context?.signal.aborted, true);
			assert.deepEqual(server.logged, []);
		}
	});

	it("waits for the calls before it on its connection, and never begins if that is cut", async () => {
		let started = 0;
		let finished = 0;
		const server = await startStream(async function* (_, { signal }) {
			started += 1;
			yield reportOf(1, JSON.stringify("x".repeat(64 * 1024)));
			if (started === 2) {
				await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
			}
			finished += 1;
		});
		const socket = connect(server.port, "127.0.0.1");
		const sent = envelope("{}");
		const head = `Host: localhost\r\nContent-Type: application/connect+json\r\nContent-Length: ${sent.length}\r\n`;
		const request = Buffer.concat([
			Buffer.from(`POST /millrace.v1.MetricService/StreamTrialMetrics HTTP/1.1\r\n${head}\r\n`),
			sent,
		]);
		socket.write(Buffer.concat([request, request, request]));
		socket.resume();
		await waitUntil("the second call", () => started === 2);
		assert.equal(finished, 1);
		socket.destroy();
		await waitUntil("the end of the second", () => finished === 2);
		await server.close();
		assert.equal(started, 2);
	});
});

describe("grpcStatusOf", () => {
	it("has the numbers that Connect's library takes for its codes", async () => {
		const { Code } = await import("@connectrpc/connect");
		for (const code of codes) {
			const key = (code === "cancelled" ? "canceled" : code).replaceAll(/(?:^|_)(\w)/g, (_, letter: string) =>
				letter.toUpperCase(),
			);
			assert.equal(Reflect.get(Code, key), grpcStatusOf(code), code);
		}
	});
});
