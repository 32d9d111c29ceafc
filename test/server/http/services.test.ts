import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { describe, it } from "node:test";
import { promisify } from "node:util";
import { fromJson, type JsonObject } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { AuthService, GetMeResponseSchema } from "../../../src/gen/millrace/v1/auth_service_pb.js";
import {
	CreateExperimentResponseSchema,
	ExperimentService,
} from "../../../src/gen/millrace/v1/experiment_service_pb.js";
import { MetricService, StreamTrialMetricsResponseSchema } from "../../../src/gen/millrace/v1/metric_service_pb.js";
import { RendezvousService } from "../../../src/gen/millrace/v1/rendezvous_service_pb.js";
import { ServerService } from "../../../src/gen/millrace/v1/server_service_pb.js";
import { CreateTrialResponseSchema, TrialService } from "../../../src/gen/millrace/v1/trial_service_pb.js";
import { verbsOf } from "../../../src/server/http/connect-request.js";
import { allMethods, fullName } from "../../support/bad-input/all-methods.js";
import { envelope, envelopesOf, httpCall, httpRequest } from "../../support/http-call.js";
import { missingProgram } from "../../support/missing-program.js";
import { startServerWithAccounts } from "../../support/start-server-with-accounts.js";
import { startTestServer } from "../../support/start-test-server.js";
import { waitUntil } from "../../support/wait-until.js";
import { reporter } from "../report-metrics.js";
import { startTrial } from "../start-trial.js";

const run = promisify(execFile);
const { streamTrialMetrics } = MetricService.method;
const { getTrial, createTrial, endTrialRun, startTrialRun } = TrialService.method;

const startHttpServer = () => startTestServer({ httpPort: 0 });

/** A server with a trial that has reported three times, one of them what JSON has no numbers for. */
async function startWithReports() {
	const server = await startHttpServer();
	const trialId = await startTrial(server);
	const { trialRun } = await server.client(TrialService).startTrialRun({ trialId });
	const trialRunId = trialRun?.trialRunId ?? 0;
	const report = reporter(server);
	const named = { trialId, trialRunId, group: "inference" };
	const texts = ['{"loss": 0.5}', '{"loss": "NaN", "top": "-Infinity"}', '{"größe": {"a": [1, "Infinity"]}}'];
	for (const [step, metricsJson] of texts.entries()) {
		assert.deepEqual(await report({ ...named, stepsCompleted: step, metricsJson }), ["ok"]);
	}
	return { server, trialId, trialRunId, report, texts };
}

describe("the services over HTTP", { timeout: 60_000 }, () => {
	it("are all there, each method in the form of its kind", async () => {
		const server = await startHttpServer();
		const methods = await allMethods();
		assert.ok(methods.length > 50);
		for (const method of methods) {
			const { status, error } = await httpCall(server.httpAddress, method);
			assert.notEqual(status, 404, fullName(method));
			const isOffered = method.methodKind !== "bidi_streaming";
			assert.equal(error?.code === "unimplemented", !isOffered, `${fullName(method)}: ${error?.message}`);
			assert.notEqual(error?.code, "internal", fullName(method));
			const [, unknown] = [
				httpCall(server.httpAddress, method),
				await httpCall(server.httpAddress, method, { no_such: 1 }),
			];
			assert.match(
				unknown.error?.message ?? "",
				isOffered ? /"no_such" is no field/ : /call it by gRPC/,
				fullName(method),
			);
		}
		assert.deepEqual(server.logged, []);
	});

	it("may be read by GET where that changes nothing", async () => {
		const server = await startHttpServer();
		for (const method of await allMethods()) {
			const url = `${server.httpAddress}/${method.parent.typeName}/${method.name}?connect=v1&encoding=json&message=%7B%7D`;
			const { status } = await fetch(url);
			assert.equal(status !== 405, verbsOf(method).includes("GET"), fullName(method));
		}
		const query = `encoding=json&message=${encodeURIComponent('{"orderBy": "UP"}')}`;
		const response = await fetch(`${server.httpAddress}/millrace.v1.ModelService/ListModels?${query}`);
		const names = "ORDER_BY_UNSPECIFIED, ORDER_BY_ASC, ORDER_BY_DESC";
		const message = `malformed millrace.v1.ListModelsRequest.order_by: "UP" is none of ${names}`;
		assert.deepEqual(await response.json(), { code: "invalid_argument", message });
	});

	it("create, change and read what gRPC reads", async () => {
		const server = await startHttpServer();
		const { httpAddress } = server;
		const config = { name: "by HTTP", hyperparameters: { learning_rate: 0.5 } };
		const created = await httpCall(httpAddress, ExperimentService.method.createExperiment, { config });
		assert.equal(created.error, undefined);
		const { experiment } = fromJson(CreateExperimentResponseSchema, created.messages[0] ?? {});
		const experimentId = experiment?.id ?? 0;
		const answer = await httpCall(httpAddress, createTrial, { experimentId, hparams: { batch_size: 3 } });
		const trialId = fromJson(CreateTrialResponseSchema, answer.messages[0] ?? {}).trial?.id ?? 0;
		await httpCall(httpAddress, startTrialRun, { trialId });
		const { trial } = await server.client(TrialService).getTrial({ trialId });
		assert.deepEqual([trial?.experimentId, trial?.hparams, trial?.trialRunId], [experimentId, { batch_size: 3 }, 1]);
		const ended = await httpCall(httpAddress, endTrialRun, {
			trial_id: trialId,
			trial_run_id: 1,
			state: "TRIAL_RUN_STATE_COMPLETED",
		});
		assert.equal(ended.error, undefined);
		const read = await httpCall(httpAddress, getTrial, { trialId });
		const seen = (read.messages[0]?.trial ?? {}) as JsonObject;
		assert.equal(seen.state, "TRIAL_STATE_COMPLETED");
		// Also what is zero is there, and what users named is as they named it.
		assert.equal(seen.restarts, 0);
		assert.deepEqual(seen.hparams, { batch_size: 3 });
	});

	it("stream metrics as they are on the wire, NaN and all", async () => {
		const { server, trialId, texts } = await startWithReports();
		const { status, messages, error } = await httpCall(server.httpAddress, streamTrialMetrics, { trialIds: [trialId] });
		assert.deepEqual([status, error], [200, undefined]);
		const reports = messages.flatMap((message) => message.reports as JsonObject[]);
		assert.deepEqual(
			reports.map(({ metricsJson }) => JSON.parse(metricsJson as string)),
			texts.map((text) => JSON.parse(text)),
		);
		assert.deepEqual(
			reports.map(({ stepsCompleted, batchMetricsJson, modelId }) => [stepsCompleted, batchMetricsJson, modelId]),
			[0, 1, 2].map((step) => [step, "", 0]),
		);
		assert.equal(typeof reports[0]?.id, "string");
		const missing = await httpCall(server.httpAddress, streamTrialMetrics, { trialIds: [77] });
		assert.deepEqual([missing.status, missing.error?.code], [200, "not_found"]);
	});

	it("stream what is reported while they follow, until the server stops", async () => {
		const { server, trialId, trialRunId, report } = await startWithReports();
		const request = { trialIds: [trialId], follow: true };
		const response = await httpRequest(server.httpAddress, streamTrialMetrics, request);
		let count = 0;
		let end: JsonObject | undefined;
		const reading = (async () => {
			for await (const { isEnd, message } of envelopesOf(response)) {
				if (isEnd) {
					end = message;
				} else {
					count += fromJson(StreamTrialMetricsResponseSchema, message).reports.length;
				}
			}
		})();
		await waitUntil("the reports that are there", () => count === 3);
		await report({ trialId, trialRunId, group: "inference", stepsCompleted: 9, metricsJson: "{}" });
		await waitUntil("the report that comes", () => count === 4);
		await server.close();
		await reading;
		assert.equal((end?.error as JsonObject | undefined)?.code, "unavailable");
	});

	it("are understood by a client of the protocol, whose errors have the same codes", async () => {
		const { server, trialId, texts } = await startWithReports();
		const baseUrl = server.httpAddress ?? "";
		for (const useHttpGet of [false, true]) {
			const transport = createConnectTransport({ baseUrl, httpVersion: "1.1", useBinaryFormat: false, useHttpGet });
			const info = await createClient(ServerService, transport).getServerInfo({});
			assert.equal(info.dataDirectory, server.dataDirectory);
			const metrics = createClient(MetricService, transport);
			const read: string[] = [];
			for await (const { reports } of metrics.streamTrialMetrics({ trialIds: [trialId] })) {
				read.push(...reports.map(({ metricsJson }) => metricsJson));
			}
			assert.deepEqual(
				read.map((text) => JSON.parse(text)),
				texts.map((text) => JSON.parse(text)),
			);
			const trials = createClient(TrialService, transport);
			await assert.rejects(trials.getTrial({ trialId: 77 }), /\[not_found\] trial 77 not found/);
			await assert.rejects(async () => {
				for await (const _ of metrics.streamTrialMetrics({})) {
					assert.fail("a message");
				}
			}, /\[invalid_argument\] trial_ids/);
		}
	});

	it("want a token where the server has accounts, but for what everyone may call", async () => {
		const { httpAddress, ada, bob } = await startServerWithAccounts({ httpPort: 0 });
		const open: string[] = [];
		for (const method of await allMethods()) {
			// The answer comes before the request is read; but the one who makes the first account has no token.
			const request = method === AuthService.method.createUser ? {} : { no_such: 1 };
			const { status, error, headers } = await httpCall(httpAddress, method, request);
			if (error?.code === "unauthenticated") {
				assert.equal(status, method.methodKind === "server_streaming" ? 200 : 401, fullName(method));
				assert.equal(headers.get("www-authenticate"), status === 401 ? "Bearer" : null);
			} else {
				open.push(fullName(method));
			}
			const known = await httpCall(httpAddress, method, { no_such: 1 }, { token: ada });
			assert.match(known.error?.message ?? "", /"no_such" is no field|call it by gRPC/, fullName(method));
		}
		assert.deepEqual(open, ["AuthService.Login", "ServerService.GetServerInfo"]);
		const own = await httpCall(httpAddress, AuthService.method.getMe, {}, { token: bob });
		assert.equal(fromJson(GetMeResponseSchema, own.messages[0] ?? {}).user?.username, "bob");
		const denied = await httpCall(httpAddress, AuthService.method.listUsers, {}, { token: `${bob}x` });
		assert.deepEqual([denied.status, denied.error?.code], [401, "unauthenticated"]);
	});

	it("answer to any name where the server has accounts, also if they were made while it ran", async () => {
		const server = await startServerWithAccounts({ httpPort: 0 });
		const { port } = new URL(server.httpAddress ?? "");
		const socket = connect(Number(port), "127.0.0.1");
		socket.end("GET /health HTTP/1.1\r\nHost: millrace.example\r\nConnection: close\r\n\r\n");
		const [answer] = await once(socket, "data");
		assert.match(String(answer), /^HTTP\/1.1 200 /);
	});

	it("do not offer the stream in both directions, and say so", async () => {
		const server = await startHttpServer();
		for (const type of ["application/json", "application/connect+json"]) {
			const headers = { "content-type": type };
			const { status, error } = await httpCall(server.httpAddress, RendezvousService.method.attend, {}, { headers });
			const message = "Attend streams in both directions, which HTTP does not carry; call it by gRPC";
			assert.deepEqual([status, error], [501, { code: "unimplemented", message }]);
		}
	});
});

describe("curl", { timeout: 60_000, skip: missingProgram(["curl"]) }, () => {
	/** Runs curl, and returns the status and what it prints. */
	async function curl(args: readonly string[]) {
		const { stdout } = await run("curl", ["-sS", "-w", "\n%{http_code}", ...args], { encoding: "buffer" });
		const at = stdout.lastIndexOf("\n");
		return { status: Number(stdout.toString("utf8", at + 1)), body: stdout.subarray(0, at) };
	}

	it("calls a method, and reads its errors", async () => {
		const server = await startHttpServer();
		const url = `${server.httpAddress}/millrace.v1.TrialService/GetTrial`;
		const json = ["-H", "content-type: application/json"];
		const health = await curl([`${server.httpAddress}/health`]);
		assert.deepEqual([health.status, health.body.toString()], [200, '{"status":"SERVING"}']);
		const found = await curl([...json, "-d", `{"trial_id": ${await startTrial(server)}}`, url]);
		assert.equal(found.status, 200);
		assert.equal(JSON.parse(found.body.toString()).trial.state, "TRIAL_STATE_ACTIVE");
		const missing = await curl([...json, "-d", '{"trial_id": 77}', url]);
		assert.deepEqual([missing.status, JSON.parse(missing.body.toString()).code], [404, "not_found"]);
		const form = await curl(["-d", "{}", url]);
		assert.equal(form.status, 415);
		assert.match(form.body.toString(), /send the header content-type: application\/json/);
	});

	it("sends a large body only after it is asked for it", async () => {
		const server = await startHttpServer();
		const url = `${server.httpAddress}/millrace.v1.TrialService/GetTrial`;
		const body = `{"trial_id": 77}${" ".repeat(2 * 1024 * 1024)}`;
		const args = ["-sS", "-v", "-H", "content-type: application/json", "--data-binary", "@-", url];
		const child = run("curl", args);
		child.child.stdin?.end(body);
		const { stdout, stderr } = await child;
		assert.match(stderr, /100 Continue/);
		assert.equal(JSON.parse(stdout).code, "not_found");
	});

	it("reads a stream", async () => {
		const { server, trialId } = await startWithReports();
		const url = `${server.httpAddress}/millrace.v1.MetricService/StreamTrialMetrics`;
		const child = run("curl", ["-sS", "-H", "content-type: application/connect+json", "--data-binary", "@-", url], {
			encoding: "buffer",
		});
		child.child.stdin?.end(envelope(`{"trialIds": [${trialId}]}`));
		const messages: JsonObject[] = [];
		for await (const { message } of envelopesOf(new Response((await child).stdout))) {
			messages.push(message);
		}
		assert.deepEqual(messages.at(-1), {});
		assert.equal(fromJson(StreamTrialMetricsResponseSchema, messages[0] ?? {}).reports.length, 3);
	});
});
