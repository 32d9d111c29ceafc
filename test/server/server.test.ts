import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import type { DescService } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { readServerAddress } from "../../src/data-directory.js";
import { isMillraceError } from "../../src/errors.js";
import * as auth from "../../src/gen/millrace/v1/auth_service_pb.js";
import * as checkpoint from "../../src/gen/millrace/v1/checkpoint_service_pb.js";
import * as experiment from "../../src/gen/millrace/v1/experiment_service_pb.js";
import * as log from "../../src/gen/millrace/v1/log_service_pb.js";
import * as metric from "../../src/gen/millrace/v1/metric_service_pb.js";
import * as model from "../../src/gen/millrace/v1/model_service_pb.js";
import * as progress from "../../src/gen/millrace/v1/progress_service_pb.js";
import * as rendezvous from "../../src/gen/millrace/v1/rendezvous_service_pb.js";
import * as serverService from "../../src/gen/millrace/v1/server_service_pb.js";
import * as trial from "../../src/gen/millrace/v1/trial_service_pb.js";
import { Channel } from "../../src/rpc/channel.js";
import { createRpcClient } from "../../src/rpc/client.js";
import { startServer } from "../../src/server/index.js";
import { errorWith } from "../support/error-with.js";
import { nodeWithTsx } from "../support/node-with-tsx.js";
import { startServerWithAccounts } from "../support/start-server-with-accounts.js";
import { startTestServer } from "../support/start-test-server.js";
import { tempDir } from "../support/temp-dir.js";
import { waitUntil } from "../support/wait-until.js";
import { joinRun, startTrial } from "./start-trial.js";

const services: DescService[] = [
	checkpoint.CheckpointService,
	experiment.ExperimentService,
	metric.MetricService,
	model.ModelService,
	progress.ProgressService,
	rendezvous.RendezvousService,
	serverService.ServerService,
	auth.AuthService,
	log.LogService,
	trial.TrialService,
];

describe("startServer", { timeout: 60_000 }, () => {
	it("tells where it is, and keeps its cluster id and everything else over a restart", async () => {
		const first = await startTestServer();
		const { dataDirectory } = first;
		assert.deepEqual(readServerAddress(dataDirectory)?.address, first.address);
		const info = await first.client(serverService.ServerService).getServerInfo({});
		assert.equal(info.dataDirectory, dataDirectory);
		assert.equal(info.defaultStorage?.backend.case, "directory");
		const trialId = await startTrial(first);
		await first.close();
		assert.equal(readServerAddress(dataDirectory), undefined);
		assert.ok(!existsSync(join(dataDirectory, "millrace.db-wal")), "the write-ahead log is left behind");
		const second = await startTestServer({ dataDirectory });
		const again = await second.client(serverService.ServerService).getServerInfo({});
		assert.equal(again.clusterId, info.clusterId);
		assert.equal((await second.client(trial.TrialService).getTrial({ trialId })).trial?.id, trialId);
	});

	it("lets the members of an open run come back after a restart, with their commits", async () => {
		const first = await startTestServer();
		const trialId = await startTrial(first);
		const [worker] = await joinRun(first, trialId);
		assert.ok(worker);
		const { member } = worker;
		const begin = { member, plan: { recordCount: 10n }, options: { batchSize: 1, checkpointInterval: 1 } };
		await first.client(progress.ProgressService).beginProgress(begin);
		const commit = { member, commitNumber: 1, step: 1, ranges: [{ first: 0n, end: 4n }] };
		const answer = await first.client(progress.ProgressService).commit(commit);
		await first.close();
		const second = await startTestServer({ dataDirectory: first.dataDirectory });
		const call = second.client(rendezvous.RendezvousService).attend();
		after(() => call.cancel());
		const join = { trialId, memberUuid: member.memberUuid, worldSize: 1, localWorldSize: 1 };
		call.send({ message: { case: "join", value: join } });
		const { value } = await call[Symbol.asyncIterator]().next();
		assert.equal(value.message.value.trialRunId, member.trialRunId);
		assert.deepEqual(await second.client(progress.ProgressService).commit(commit), answer);
		await second
			.client(progress.ProgressService)
			.commit({ ...commit, commitNumber: 2, ranges: [{ first: 4n, end: 5n }] });
	});

	it("refuses a second server on its directory, and releases everything when it cannot listen", async () => {
		const server = await startTestServer();
		await assert.rejects(startServer({ dataDirectory: server.dataDirectory, port: 0 }), (error: Error) => {
			assert.ok(isMillraceError(error, "already_exists"));
			assert.match(error.message, new RegExp(`in use by the server at ${server.address} \\(pid ${process.pid}\\)`));
			return true;
		});
		const port = Number(server.address.split(":")[1]);
		const dataDirectory = tempDir();
		await assert.rejects(startServer({ dataDirectory, port }), (error: Error) => {
			assert.ok(isMillraceError(error, "already_exists"));
			assert.match(error.message, new RegExp(`port ${port} on 127\\.0\\.0\\.1 is in use`));
			return true;
		});
		await startTestServer({ dataDirectory });
	});

	it("makes no data directory for a port that is in use, and one for a port that is free", async () => {
		const server = await startTestServer();
		const port = Number(server.address.split(":")[1]);
		const dataDirectory = join(tempDir(), "new");
		const inUse = errorWith("already_exists", new RegExp(`port ${port} on 127\\.0\\.0\\.1 is in use`));
		await assert.rejects(startServer({ dataDirectory, port }), inUse);
		assert.equal(existsSync(dataDirectory), false);
		await server.close();
		const next = await startTestServer({ dataDirectory, port });
		assert.equal(next.address, server.address);
		await next.client(serverService.ServerService).getServerInfo({});
	});

	it("takes over a directory whose server was killed", async () => {
		const dataDirectory = tempDir();
		const script = `import { startServer } from ${JSON.stringify(import.meta.resolve("../../src/server/index.ts"))};
			await startServer({ dataDirectory: ${JSON.stringify(dataDirectory)}, port: 0 });`;
		const child = spawn(nodeWithTsx[0], [...nodeWithTsx.slice(1), "--input-type=module", "--eval", script], {
			stdio: "inherit",
		});
		after(() => child.kill("SIGKILL"));
		await waitUntil("the server's address", () => readServerAddress(dataDirectory));
		await assert.rejects(startServer({ dataDirectory, port: 0 }), (error) => isMillraceError(error, "already_exists"));
		const gone = new Promise((resolve) => child.once("exit", resolve));
		child.kill("SIGKILL");
		await gone;
		const server = await startTestServer({ dataDirectory });
		assert.equal(readServerAddress(dataDirectory)?.address, server.address);
	});

	it("refuses a host that other machines can reach, unless it is told to", async () => {
		const dataDirectory = tempDir();
		await assert.rejects(startServer({ dataDirectory, host: "0.0.0.0", port: 0 }), (error: Error) => {
			assert.ok(isMillraceError(error, "invalid_argument"));
			assert.match(error.message, /host is "0\.0\.0\.0".*--insecure/);
			return true;
		});
		const server = await startServer({ dataDirectory, host: "0.0.0.0", port: 0, insecure: true });
		assert.match(server.address, /^127\.0\.0\.1:\d+$/);
		await server.close();
	});

	it("serves HTTP only when it is told so, at an address that it writes beside the other", async () => {
		const without = await startTestServer();
		assert.equal(without.httpAddress, undefined);
		assert.equal(readServerAddress(without.dataDirectory)?.httpAddress, undefined);
		const server = await startTestServer({ httpPort: 0 });
		assert.match(server.httpAddress ?? "", /^http:\/\/127\.0\.0\.1:\d+$/);
		assert.equal(readServerAddress(server.dataDirectory)?.httpAddress, server.httpAddress);
		const httpPort = Number(new URL(server.httpAddress ?? "").port);
		const dataDirectory = tempDir();
		const inUse = errorWith("already_exists", new RegExp(`port ${httpPort} .* in use; .*--http-port, or .*--no-http`));
		await assert.rejects(startServer({ dataDirectory, port: 0, httpPort }), inUse);
		await assert.rejects(
			startServer({ dataDirectory, port: 0, httpPort: 70_000 }),
			errorWith("invalid_argument", /70000/),
		);
		await startTestServer({ dataDirectory });
	});

	it("answers to any name on a host that other machines reach", async () => {
		const server = await startServer({
			dataDirectory: tempDir(),
			host: "0.0.0.0",
			port: 0,
			httpPort: 0,
			insecure: true,
		});
		const { port } = new URL(server.httpAddress ?? "");
		const socket = connect(Number(port), "127.0.0.1");
		socket.end("GET /health HTTP/1.1\r\nHost: millrace.example\r\nConnection: close\r\n\r\n");
		const [answer] = await once(socket, "data");
		assert.match(String(answer), /^HTTP\/1.1 200 /);
		await server.close();
	});

	it("serves other machines where it has accounts, and asks who is there for a token", async () => {
		const { dataDirectory, close } = await startServerWithAccounts();
		await close();
		const server = await startServer({ dataDirectory, host: "0.0.0.0", port: 0 });
		const channel = new Channel(server.address, { connectMs: 5_000, retryMs: 5_000 });
		const models = createRpcClient(model.ModelService, channel);
		await assert.rejects(models.listModels({}), errorWith("unauthenticated", /this server has accounts/));
		channel.close();
		await server.close();
	});

	it("counts its connections", async () => {
		const server = await startTestServer();
		const counts: number[] = [];
		server.onConnectionCount((count) => counts.push(count));
		await server.client(serverService.ServerService).getServerInfo({});
		assert.equal(server.connectionCount, 1);
		assert.deepEqual(counts, [1]);
	});

	it("has a handler for every method of the contract", async () => {
		const server = await startTestServer();
		for (const service of services) {
			for (const method of service.methods) {
				const call = (server.client(service) as Record<string, (request: object) => unknown>)[method.localName];
				const outcome = await answerOf(call?.({}), method.methodKind);
				assert.ok(!isMillraceError(outcome, "unimplemented"), `${service.typeName}.${method.name} has no handler`);
				assert.ok(!isMillraceError(outcome, "internal"), `${service.typeName}.${method.name}: ${outcome}`);
			}
		}
		assert.deepEqual(server.logged, []);
	});

	it("knows of every method whether it may be repeated, but for the stream in both directions", () => {
		for (const method of services.flatMap((service) => service.methods)) {
			const isKnown = method.idempotency !== MethodOptions_IdempotencyLevel.IDEMPOTENCY_UNKNOWN;
			assert.equal(isKnown, method.methodKind !== "bidi_streaming", method.name);
		}
	});
});

/** Returns what a call answers or fails with. */
async function answerOf(call: unknown, kind: string): Promise<unknown> {
	try {
		if (kind === "unary") {
			return await call;
		}
		const stream = call as AsyncIterable<unknown> & { send?(message: object): void };
		stream.send?.({ message: { case: "leave", value: { reason: randomUUID() } } });
		return await stream[Symbol.asyncIterator]().next();
	} catch (error) {
		return error;
	}
}
