import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { after, describe, it } from "node:test";
import { ServerService } from "../../src/gen/millrace/v1/server_service_pb.js";
import { createRpcClient } from "../../src/rpc/client.js";
import type { RpcServerOptions } from "../../src/rpc/server.js";
import { errorWith } from "../support/error-with.js";
import { messageHead, type RawCall, rawCall, rawSession } from "../support/raw-grpc.js";
import { startRpcServer } from "../support/start-rpc-server.js";
import { waitUntil } from "../support/wait-until.js";

async function startInfoServer(options: RpcServerOptions = {}) {
	const server = await startRpcServer((rpc) => rpc.add(ServerService, { getServerInfo: async () => ({}) }), 0, options);
	let count = 0;
	server.rpc.onConnectionCount((now) => {
		count = now;
	});
	const info = (patienceMs = 5_000) =>
		createRpcClient(ServerService, server.channel({ connectMs: patienceMs, retryMs: patienceMs })).getServerInfo({});
	return { server, info, count: () => count };
}

function dial(port: number, allowHalfOpen = false): Socket {
	const socket = connect({ port, host: "127.0.0.1", allowHalfOpen });
	socket.on("error", () => {});
	after(() => socket.destroy());
	return socket;
}

async function open(port: number): Promise<Socket> {
	const socket = dial(port);
	await once(socket, "connect");
	return socket;
}

/** Says something else than HTTP/2, and stays when the server has ended the connection. Returns what that has said. */
async function stay(port: number, words: string): Promise<Buffer> {
	const socket = dial(port, true);
	socket.write(words);
	const [answer] = await once(socket, "data");
	return answer;
}

function checkHealth(address: string): RawCall["ended"] {
	const { stream, ended } = rawCall(rawSession(address), "/grpc.health.v1.Health/Check");
	stream.resume();
	stream.end(messageHead(0));
	return ended;
}

const greeting = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u0004\0\0\0\0\0", "latin1");

describe("a connection", { timeout: 60_000 }, () => {
	it("may greet in pieces of a byte", async () => {
		const { server, info } = await startInfoServer();
		const socket = await open(server.port);
		let heard = Buffer.alloc(0);
		socket.on("data", (piece) => {
			heard = Buffer.concat([heard, piece]);
		});
		for (const byte of greeting) {
			await new Promise((resolve) => socket.write(Buffer.of(byte), resolve));
		}
		// The server's settings: their frame is of kind 4.
		await waitUntil("the server has answered", () => heard.length >= 9);
		assert.equal(heard[3], 4);
		await info();
	});

	it("that says anything else is told that this is HTTP/2, and ended", async () => {
		const { server, info, count } = await startInfoServer();
		for (const words of ["PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", "\u0016\u0003\u0001"]) {
			const socket = await open(server.port);
			const heard: Buffer[] = [];
			socket.on("data", (piece) => heard.push(piece));
			socket.write(words);
			await once(socket, "close");
			const answer = Buffer.concat(heard);
			// The frame that ends a connection, for an error of protocol.
			assert.deepEqual([answer.length, answer[3], answer.readUInt32BE(13)], [17, 7, 1], JSON.stringify(words));
		}
		await info();
		await waitUntil("they are gone", () => count() === 1);
	});

	it("that says anything else and stays is no better off than one that says nothing", async () => {
		const { server, info, count } = await startInfoServer({ maxConnections: 2, greetingMs: 20_000 });
		const words = ["\u0016\u0003\u0001", "x".repeat(1024 * 1024)];
		const answers = await Promise.all(words.map((said) => stay(server.port, said)));
		assert.deepEqual(
			answers.map((answer) => answer[3]),
			[7, 7],
		);
		assert.equal(count(), 2);
		// It makes room at once for who speaks HTTP/2, though it may stay for as long as one that says nothing.
		await info(10_000);
		assert.equal(count(), 2);
		// Nor does it hold up the end of the server.
		await server.close(120_000);
		await waitUntil("all are gone", () => count() === 0);
	});

	it("that says anything else and stays is cut when one that says nothing would be", async () => {
		const { server, count } = await startInfoServer({ greetingMs: 2_000 });
		await stay(server.port, "x".repeat(1024 * 1024));
		await waitUntil("it is cut", () => count() === 0);
	});

	it("that says anything else is kept only while there are few of them", async () => {
		const { server, count } = await startInfoServer({ greetingMs: 50_000 });
		await Promise.all(Array.from({ length: 520 }, () => stay(server.port, "x")));
		await waitUntil("those beyond are gone", () => count() === 500);
	});

	it("whose host has to wait, and that says anything else then, does not hold up the end of the server", async () => {
		const { server, count } = await startInfoServer({ greetingMs: 120_000 });
		for (let round = 0; round < 5; round++) {
			const sockets = await Promise.all(Array.from({ length: 40 }, () => open(server.port)));
			await Promise.all(sockets.map((socket) => once(socket.destroy(), "close")));
		}
		await waitUntil("they are gone", () => count() === 0);
		dial(server.port, true).write("x".repeat(100));
		await waitUntil("it has come", () => count() === 1);
		await server.close(120_000);
	});

	it("that speaks HTTP/1 is told which port does", async () => {
		const { server } = await startInfoServer();
		const answer = await fetch(`http://${server.address}/health`);
		assert.equal(answer.status, 400);
		assert.match(await answer.text(), /^this port speaks gRPC; JSON over HTTP has a port of its own, 8080 or that of/);
	});

	it("is told how many calls it may have under way", async () => {
		const { server } = await startInfoServer();
		const session = rawSession(server.address);
		await once(session, "remoteSettings");
		assert.equal(session.remoteSettings.maxConcurrentStreams, 128);
	});

	it("is read later when its host made many that came to nothing, and is served all the same", async () => {
		const { server, info } = await startInfoServer();
		for (let round = 0; round < 5; round++) {
			await Promise.all(
				Array.from({ length: 40 }, async () => {
					const socket = await open(server.port);
					socket.destroy();
					await once(socket, "close");
				}),
			);
		}
		await info();
	});
});

describe("the limit of connections", { timeout: 60_000 }, () => {
	it("refuses the calls of one too many, serves the others, and lets one in once there is room", async () => {
		const { server, info } = await startInfoServer({ maxConnections: 2 });
		const channels = [server.channel(), server.channel()];
		for (const channel of channels) {
			await createRpcClient(ServerService, channel).getServerInfo({});
		}
		await assert.rejects(
			info(200),
			errorWith("resource_exhausted", /the server has as many connections as it takes; close some, or start it with/),
		);
		const waiting = info(20_000);
		channels[0]?.close();
		await waiting;
		await createRpcClient(ServerService, channels[1] ?? server.channel()).getServerInfo({});
	});

	it("is not used up by those that call nothing but health, and then lie idle", async () => {
		const { server, info, count } = await startInfoServer({ maxConnections: 20, greetingMs: 200 });
		const known = server.channel();
		await createRpcClient(ServerService, known).getServerInfo({});
		for (let opened = 0; opened < 18; opened++) {
			assert.equal((await checkHealth(server.address)).code, 0);
		}
		const watching = rawCall(rawSession(server.address), "/grpc.health.v1.Health/Watch");
		watching.stream.end(messageHead(0));
		await waitUntil("the server is full", () => count() === 20);
		await info(20_000);
		assert.equal(watching.stream.destroyed, false);
		// Whoever was let in is cut after all of those.
		await createRpcClient(ServerService, known).getServerInfo({}, { retryMs: 0 });
	});

	it("is given to several at once by those who say anything else", async () => {
		const { server } = await startInfoServer({ maxConnections: 20, greetingMs: 50_000 });
		await Promise.all(Array.from({ length: 20 }, () => stay(server.port, "x")));
		const calls = Array.from({ length: 20 }, () => checkHealth(server.address));
		for (const { code, message } of await Promise.all(calls)) {
			assert.equal(code, 0, message);
		}
	});

	it("is not used up by those that never call", async () => {
		const { server, info } = await startInfoServer({ maxConnections: 20, greetingMs: 200 });
		const silent = await Promise.all(Array.from({ length: 20 }, () => open(server.port)));
		const idle = Array.from({ length: 20 }, () => rawSession(server.address));
		await info(20_000);
		for (const session of idle) {
			session.destroy();
		}
		await Promise.all(silent.map(async (socket) => socket.destroyed || (await once(socket.resume(), "close"))));
	});
});
