import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { connect, type Socket } from "node:net";
import { dirname, join } from "node:path";
import { after, describe, it } from "node:test";
import { fromBinary } from "@bufbuild/protobuf";
import { type FileDescriptorProto, FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { type Client, credentials, type GrpcObject, loadPackageDefinition, type ServiceError } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { MetricService } from "../../src/gen/millrace/v1/metric_service_pb.js";
import { RendezvousService } from "../../src/gen/millrace/v1/rendezvous_service_pb.js";
import { ServerService } from "../../src/gen/millrace/v1/server_service_pb.js";
import { TrialService } from "../../src/gen/millrace/v1/trial_service_pb.js";
import { createRpcClient } from "../../src/rpc/client.js";
import type { ServiceHandlers } from "../../src/rpc/handler.js";
import { RpcServer } from "../../src/rpc/server.js";
import { errorWith } from "../support/error-with.js";
import { nodeWithTsx } from "../support/node-with-tsx.js";
import { startCommand } from "../support/start-command.js";
import { startRpcServer } from "../support/start-rpc-server.js";
import { tempDir } from "../support/temp-dir.js";
import { waitUntil } from "../support/wait-until.js";

const require = createRequire(import.meta.url);

/** A client made of the .proto file that an npm package carries: what a foreign tool would use. */
function foreignClient(address: string, protoFile: string, service: string): Client {
	const definition = loadPackageDefinition(loadSync(protoFile, { keepCase: true, longs: String, enums: String }));
	const found = service.split(".").reduce((object: GrpcObject, name) => object[name] as GrpcObject, definition);
	const client = new (found as unknown as new (address: string, credentials: object) => Client)(
		address,
		credentials.createInsecure(),
	);
	after(() => client.close());
	return client;
}

const healthProto = join(dirname(require.resolve("grpc-health-check/package.json")), "proto/health/v1/health.proto");
const reflectionProto = join(
	dirname(require.resolve("@grpc/reflection/package.json")),
	"build/proto/grpc/reflection/v1/reflection.proto",
);

type Health = Client & {
	check(
		request: { service: string },
		callback: (error: ServiceError | null, response: { status: string }) => void,
	): void;
	watch(request: { service: string }): AsyncIterable<{ status: string }>;
};

async function healthOf(client: Health, service: string): Promise<string> {
	return new Promise((resolve, reject) =>
		client.check({ service }, (error, response) => (error ? reject(error) : resolve(response.status))),
	);
}

interface Reflected {
	list_services_response?: { service: { name: string }[] };
	file_descriptor_response?: { file_descriptor_proto: Uint8Array[] };
	error_response?: { error_code: number; error_message: string };
}

type Reflection = Client & {
	serverReflectionInfo(): AsyncIterable<Reflected> & { write(request: object): void; end(): void };
};

async function reflect(address: string, request: object): Promise<Reflected> {
	const call = foreignClient(address, reflectionProto, "grpc.reflection.v1.ServerReflection") as Reflection;
	const stream = call.serverReflectionInfo();
	stream.write(request);
	stream.end();
	for await (const answer of stream) {
		return answer;
	}
	throw new Error("no answer");
}

function filesOf(answer: Reflected): FileDescriptorProto[] {
	assert.equal(answer.error_response, undefined);
	return (answer.file_descriptor_response?.file_descriptor_proto ?? []).map((bytes) =>
		fromBinary(FileDescriptorProtoSchema, bytes),
	);
}

const only = <T extends object>(handlers: Partial<T>): T => {
	const unused = () => {
		throw new Error("not here");
	};
	return new Proxy(handlers, { get: (target, name) => Reflect.get(target, name) ?? unused }) as T;
};

/** A server of one method of each kind; the streams stay open until their callers go. */
async function startOpenServer() {
	let open = 0;
	const stay = (signal: AbortSignal) => {
		open += 1;
		return new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
	};
	const server = await startRpcServer((rpc) => {
		rpc.add(ServerService, { getServerInfo: async () => ({}) });
		rpc.add(
			MetricService,
			only<ServiceHandlers<typeof MetricService>>({
				streamTrialMetrics: async function* (_, { signal }) {
					const gone = stay(signal);
					yield {};
					await gone;
				},
			}),
		);
		rpc.add(RendezvousService, { attend: (_, { signal }) => stay(signal) });
		rpc.add(TrialService, only<ServiceHandlers<typeof TrialService>>({}));
	});
	return { server, open: () => open };
}

async function timed(action: Promise<unknown>): Promise<number> {
	const start = performance.now();
	await action;
	return performance.now() - start;
}

async function openSocket(port: number): Promise<Socket> {
	const socket = connect(port, "127.0.0.1");
	after(() => socket.destroy());
	socket.on("error", () => {});
	await new Promise((resolve) => socket.once("connect", resolve));
	return socket;
}

describe("RpcServer.listen", { timeout: 30_000 }, () => {
	it("throws already_exists, which names the port, where the port is in use", async () => {
		const first = await startRpcServer(() => {});
		const second = new RpcServer(assert.fail);
		await assert.rejects(
			second.listen("127.0.0.1", first.port),
			errorWith("already_exists", new RegExp(`^port ${first.port} on 127\\.0\\.0\\.1 is in use; choose another`)),
		);
		await second.close();
	});

	it("throws invalid_argument where the host is not one of this machine, or no host", async () => {
		for (const host of ["192.0.2.1", "no-such-host.invalid"]) {
			const server = new RpcServer(assert.fail);
			await assert.rejects(
				server.listen(host, 0),
				errorWith("invalid_argument", new RegExp(`^cannot listen on ${host}:0: .`)),
			);
			await server.close();
		}
	});

	it("serves on a port that was just given up", async () => {
		const first = await startOpenServer();
		await createRpcClient(ServerService, first.server.channel()).getServerInfo({});
		await first.server.close();
		const second = await startRpcServer(() => {}, first.server.port);
		assert.equal(second.port, first.server.port);
	});
});

describe("RpcServer's health", { timeout: 30_000 }, () => {
	const names = ["", ServerService.typeName, MetricService.typeName, RendezvousService.typeName, TrialService.typeName];

	it("is SERVING for the server and each service, and not found for another", async () => {
		const { server } = await startOpenServer();
		const client = foreignClient(server.address, healthProto, "grpc.health.v1.Health") as Health;
		for (const name of names) {
			assert.equal(await healthOf(client, name), "SERVING", name);
		}
		await assert.rejects(healthOf(client, "millrace.v1.WeatherService"), { code: 5 });
	});

	it("is NOT_SERVING while the server closes", async () => {
		const { server } = await startOpenServer();
		const client = foreignClient(server.address, healthProto, "grpc.health.v1.Health") as Health;
		const watches = names.map((service) => client.watch({ service })[Symbol.asyncIterator]());
		for (const watch of watches) {
			assert.equal((await watch.next()).value?.status, "SERVING");
		}
		const ends = watches.map(async (watch) => {
			assert.equal((await watch.next()).value?.status, "NOT_SERVING");
			await watch.next().catch(() => {});
		});
		await Promise.all([server.close(500), ...ends]);
	});
});

describe("RpcServer's reflection", { timeout: 30_000 }, () => {
	it("lists all services, that of health too", async () => {
		const { server } = await startOpenServer();
		const { list_services_response } = await reflect(server.address, { list_services: "" });
		const names = list_services_response?.service.map(({ name }) => name) ?? [];
		for (const { typeName } of [ServerService, MetricService, RendezvousService, TrialService]) {
			assert.ok(names.includes(typeName), `${typeName} is not in ${names}`);
		}
		assert.ok(names.includes("grpc.health.v1.Health"), String(names));
	});

	it("finds a service by its name, with the files that it needs", async () => {
		const { server } = await startOpenServer();
		const files = filesOf(await reflect(server.address, { file_containing_symbol: "millrace.v1.TrialService" }));
		const names = files.map(({ name }) => name);
		assert.ok(names.includes("millrace/v1/trial_service.proto"), String(names));
		for (const { name, dependency } of files) {
			for (const needed of dependency) {
				assert.ok(names.includes(needed), `${name} needs ${needed}`);
			}
		}
		const methods = files.flatMap(({ service }) => service).flatMap(({ method }) => method.map(({ name }) => name));
		assert.ok(methods.includes("ReportTrialSourceInfo"));
	});

	it("finds the methods of health, and their messages", async () => {
		const { server } = await startOpenServer();
		const files = filesOf(await reflect(server.address, { file_containing_symbol: "grpc.health.v1.Health.Check" }));
		const methods = files.flatMap(({ service }) => service).flatMap(({ method }) => method);
		const check = methods.find(({ name }) => name === "Check");
		assert.equal(check?.inputType, ".grpc.health.v1.HealthCheckRequest");
		assert.ok(files.some(({ messageType }) => messageType.some(({ name }) => name === "HealthCheckRequest")));
	});

	for (const [request, file] of [
		[{ file_containing_symbol: "google.protobuf.Struct" }, "google/protobuf/struct.proto"],
		[{ file_containing_symbol: "google.protobuf.Timestamp" }, "google/protobuf/timestamp.proto"],
		[{ file_containing_symbol: "millrace.v1.JoinRequest" }, "millrace/v1/rendezvous.proto"],
		[{ file_containing_symbol: "millrace.v1.TrialService.GetTrial" }, "millrace/v1/trial_service.proto"],
		[{ file_by_filename: "millrace/v1/trial.proto" }, "millrace/v1/trial.proto"],
	] as const) {
		it(`finds ${Object.values(request)[0]}`, async () => {
			const { server } = await startOpenServer();
			const files = filesOf(await reflect(server.address, request));
			assert.ok(
				files.some(({ name }) => name === file),
				String(files.map(({ name }) => name)),
			);
		});
	}

	it("is not found for what does not exist", async () => {
		const { server } = await startOpenServer();
		const answer = await reflect(server.address, { file_containing_symbol: "millrace.v1.WeatherService" });
		assert.equal(answer.error_response?.error_code, 5);
	});
});

describe("RpcServer.onConnectionCount", { timeout: 30_000 }, () => {
	it("tells the number now, and each change of it", async () => {
		const { server } = await startOpenServer();
		const counts: number[] = [];
		const first = server.channel();
		await createRpcClient(ServerService, first).getServerInfo({});
		server.rpc.onConnectionCount((count) => counts.push(count));
		assert.deepEqual(counts, [1]);
		const second = server.channel();
		await createRpcClient(ServerService, second).getServerInfo({});
		await createRpcClient(MetricService, second).streamTrialMetrics({})[Symbol.asyncIterator]().next();
		assert.deepEqual(counts, [1, 2]);
		second.close();
		await waitUntil("the second to be gone", () => counts.length === 3);
		first.close();
		await waitUntil("the first to be gone", () => counts.length === 4);
		assert.deepEqual(counts, [1, 2, 1, 0]);
	});

	it("counts connections that never speak, and those of an idle client", async () => {
		const { server } = await startOpenServer();
		let count = 0;
		server.rpc.onConnectionCount((now) => {
			count = now;
		});
		const socket = await openSocket(server.port);
		await waitUntil("the connection", () => count === 1);
		socket.destroy();
		await waitUntil("its end", () => count === 0);
	});
});

describe("RpcServer.close", { timeout: 30_000 }, () => {
	it("is quick while idle clients are connected", async () => {
		const { server } = await startOpenServer();
		for (let i = 0; i < 3; i++) {
			await createRpcClient(ServerService, server.channel()).getServerInfo({});
		}
		const took = await timed(server.close(10_000));
		assert.ok(took < 1_000, `it took ${took} ms`);
	});

	it("does not wait for connections that never spoke", async () => {
		const { server } = await startOpenServer();
		let count = 0;
		server.rpc.onConnectionCount((now) => {
			count = now;
		});
		await openSocket(server.port);
		(await openSocket(server.port)).write("PRI * HTTP");
		await waitUntil("the connections", () => count === 2);
		const took = await timed(server.close(10_000));
		assert.ok(took < 1_000, `it took ${took} ms`);
	});

	it("lets calls in flight end within the grace", async () => {
		let answer: (info: { version: string }) => void = () => {};
		let called = false;
		const server = await startRpcServer((rpc) =>
			rpc.add(ServerService, {
				getServerInfo: () => {
					called = true;
					return new Promise((resolve) => {
						answer = resolve;
					});
				},
			}),
		);
		const call = createRpcClient(ServerService, server.channel({ connectMs: 500, retryMs: 0 })).getServerInfo({});
		await waitUntil("the call to arrive", () => called);
		const closed = server.close(20_000);
		answer({ version: "last" });
		assert.equal((await call).version, "last");
		await closed;
	});

	it("cuts what is open after the grace", async () => {
		const { server, open } = await startOpenServer();
		const channel = server.channel({ connectMs: 500, retryMs: 0 });
		const messages = createRpcClient(MetricService, channel).streamTrialMetrics({})[Symbol.asyncIterator]();
		await messages.next();
		const attend = createRpcClient(RendezvousService, channel).attend();
		attend.send({ message: { case: "leave", value: {} } });
		await waitUntil("the streams to be open", () => open() === 2);
		const ended = Promise.all([
			assert.rejects(messages.next(), errorWith("unavailable", /./)),
			assert.rejects(attend[Symbol.asyncIterator]().next(), errorWith("unavailable", /./)),
		]);
		const took = await timed(server.close(300));
		assert.ok(took >= 250 && took < 2_000, `it took ${took} ms`);
		await ended;
	});

	it("does nothing before listen, and once more", async () => {
		const never = new RpcServer(assert.fail);
		await never.close();
		const { server } = await startOpenServer();
		await Promise.all([server.close(), server.close()]);
		await server.close();
	});

	it("leaves nothing that keeps the process alive", async () => {
		const [node, ...tsx] = nodeWithTsx;
		const url = (path: string) => JSON.stringify(new URL(path, import.meta.url).href);
		const script = `
			import { RpcServer } from ${url("../../src/rpc/server.ts")};
			import { Channel } from ${url("../../src/rpc/channel.ts")};
			import { createRpcClient } from ${url("../../src/rpc/client.ts")};
			import { ServerService } from ${url("../../src/gen/millrace/v1/server_service_pb.ts")};
			const server = new RpcServer(console.error);
			server.add(ServerService, { getServerInfo: async () => ({ version: "x" }) });
			const port = await server.listen("127.0.0.1", 0);
			const channel = new Channel("127.0.0.1:" + port);
			console.log((await createRpcClient(ServerService, channel).getServerInfo({})).version);
			channel.close();
			await server.close(60_000);
			console.log("closed");
		`;
		const start = performance.now();
		const child = startCommand(node, [...tsx, "--input-type=module", "--eval", script], { cwd: tempDir() });
		after(() => child.close());
		assert.deepEqual(await child.ended, { code: 0, signal: null, stdout: "x\nclosed\n", stderr: "" });
		assert.ok(performance.now() - start < 20_000);
	});
});
