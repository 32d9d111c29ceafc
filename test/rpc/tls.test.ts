import assert from "node:assert/strict";
import { createServer as createHttp } from "node:http";
import { createServer as createHttps } from "node:https";
import { connect as connectPlain, createServer } from "node:net";
import { after, describe, it } from "node:test";
import { connect as connectTls } from "node:tls";
import { MetricService } from "../../src/gen/millrace/v1/metric_service_pb.js";
import { ServerService } from "../../src/gen/millrace/v1/server_service_pb.js";
import { Channel } from "../../src/rpc/channel.js";
import type { ChannelTls } from "../../src/rpc/channel-tls.js";
import { createRpcClient } from "../../src/rpc/client.js";
import type { ServiceHandlers } from "../../src/rpc/handler.js";
import type { RpcServerOptions } from "../../src/rpc/server.js";
import { CertificateAuthority } from "../support/certificate-authority.js";
import { errorWith } from "../support/error-with.js";
import { startRpcServer } from "../support/start-rpc-server.js";
import { waitUntil } from "../support/wait-until.js";

const ca = new CertificateAuthority("Test CA");
const otherCa = new CertificateAuthority("Other CA");
const serverPair = ca.issue({ name: "gpu-box", hosts: ["gpu-box", "127.0.0.1"] });
const clientPair = ca.issue({ name: "worker" });

function startServer(options: RpcServerOptions = {}, port = 0) {
	return startRpcServer(
		(rpc) => {
			rpc.add(ServerService, { getServerInfo: async (_, { peer }) => ({ version: peer }) });
			rpc.add(MetricService, {
				streamTrialMetrics: async function* (_, { signal }) {
					yield {};
					await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
				},
			} as Partial<ServiceHandlers<typeof MetricService>> as ServiceHandlers<typeof MetricService>);
		},
		port,
		options,
	);
}

/** Long enough that a test which waits for it fails. */
const patience = { connectMs: 30_000, retryMs: 30_000 };

type Server = Awaited<ReturnType<typeof startServer>>;

function ask(server: Server, tls: ChannelTls | undefined, times = patience) {
	return createRpcClient(ServerService, server.channel({ ...times, security: { tls } })).getServerInfo({});
}

describe("a channel with TLS", { timeout: 60_000 }, () => {
	it("is served, by calls and streams, and the server knows the caller's address", async () => {
		const server = await startServer({ tls: serverPair });
		const channel = server.channel({ ...patience, security: { tls: { ca: ca.cert } } });
		assert.match((await createRpcClient(ServerService, channel).getServerInfo({})).version, /^127\.0\.0\.1:\d+$/);
		const stream = createRpcClient(MetricService, channel).streamTrialMetrics({})[Symbol.asyncIterator]();
		assert.equal((await stream.next()).done, false);
		await stream.return?.();
	});

	it("shows its certificate to a server that asks for one", async () => {
		const server = await startServer({ tls: { ...serverPair, clientCa: ca.cert } });
		await ask(server, { ca: ca.cert, ...clientPair });
	});

	it("expects the name that it is told instead of the address", async () => {
		const server = await startServer({ tls: ca.issue({ name: "far", hosts: ["far.example"] }) });
		await ask(server, { ca: ca.cert, serverName: "far.example" });
	});

	it("comes back, also by another connection, when the server was started again", async () => {
		const first = await startServer({ tls: serverPair });
		const channel = first.channel({ ...patience, security: { tls: { ca: ca.cert } } });
		const { getServerInfo } = createRpcClient(ServerService, channel);
		await getServerInfo({});
		await first.close();
		await startServer({ tls: serverPair }, first.port);
		await getServerInfo({});
		const drop = channel.renew();
		await getServerInfo({});
		drop();
	});

	it("writes no warning of Node's about an address as a name", async (t) => {
		const warnings: Error[] = [];
		const listener = (warning: Error) => warnings.push(warning);
		process.on("warning", listener);
		t.after(() => process.off("warning", listener));
		const server = await startServer({ tls: serverPair });
		await ask(server, { ca: ca.cert });
		await new Promise(setImmediate);
		assert.deepEqual(warnings, []);
	});
});

describe("a channel that TLS keeps from its server", { timeout: 60_000 }, () => {
	const cases: {
		readonly title: string;
		readonly server?: RpcServerOptions;
		readonly client?: ChannelTls;
		readonly code?: "unauthenticated";
		readonly message: RegExp;
	}[] = [
		{
			title: "names both CAs where the server's is not the one that is trusted",
			server: { tls: serverPair },
			client: { ca: otherCa.cert },
			message:
				/^the certificate of the server at \S+ \(CN=gpu-box\) was issued by CN=Test CA, and this client trusts only CN=Other CA; give the certificate of the server's CA as tls\.ca \(MILLRACE_TLS_CA, --tls-ca\)$/,
		},
		{
			title: "says that only public CAs are trusted where none is given",
			server: { tls: serverPair },
			client: {},
			message: /issued by CN=Test CA, and this client trusts only the public CAs; give .*--tls-ca\)$/,
		},
		{
			title: "tells a CA from another of the same name",
			server: { tls: serverPair },
			client: { ca: new CertificateAuthority("Test CA").cert },
			message:
				/\(CN=gpu-box\) was not issued by the CN=Test CA that this client trusts, but by another of that name; give/,
		},
		{
			title: "names the hosts that the certificate is for",
			server: { tls: ca.issue({ name: "x", hosts: ["a.example", "10.0.0.1"] }) },
			client: { ca: ca.cert },
			message:
				/^the certificate of the server at \S+ is for a\.example, 10\.0\.0\.1, and not for 127\.0\.0\.1; connect by the name that it is for, or give that as tls\.serverName \(MILLRACE_TLS_SERVER_NAME, --tls-server-name\)$/,
		},
		{
			title: "names the name that was expected instead of the address",
			server: { tls: serverPair },
			client: { ca: ca.cert, serverName: "b.example" },
			message: /is for gpu-box, 127\.0\.0\.1, and not for b\.example; connect by/,
		},
		{
			title: "says when the certificate expired",
			server: { tls: ca.issue({ name: "old", hosts: ["127.0.0.1"], days: [-9, -2] }) },
			client: { ca: ca.cert },
			message:
				/^the certificate of the server at \S+ \(CN=old\) expired on \d{4}-\d\d-\d\d \d\d:\d\dZ; the server needs a new one$/,
		},
		{
			title: "says from when on the certificate is valid, and what the clock says",
			server: { tls: ca.issue({ name: "new", hosts: ["127.0.0.1"], days: [2, 9] }) },
			client: { ca: ca.cert },
			message:
				/\(CN=new\) is valid only from \d{4}-\S+ \S+Z on, and the clock of this machine says \d{4}-.*; set the clock/,
		},
		{
			title: "says that the server asks for a certificate",
			server: { tls: { ...serverPair, clientCa: ca.cert } },
			client: { ca: ca.cert },
			code: "unauthenticated",
			message:
				/^the server at \S+ asks for a certificate of this client, which has none; give one of the server's client CA as tls\.cert and tls\.key \(MILLRACE_TLS_CERT and MILLRACE_TLS_KEY, --tls-cert and --tls-key\)$/,
		},
		{
			title: "says that the server refuses its certificate, and who issued that",
			server: { tls: { ...serverPair, clientCa: ca.cert } },
			client: { ca: ca.cert, ...otherCa.issue({ name: "stranger" }) },
			code: "unauthenticated",
			message:
				/^the server at \S+ refuses the certificate of this client \(CN=stranger, issued by CN=Other CA\); give one of the CA that the server was started with \(--tls-client-ca\)/,
		},
		{
			title: "says that its own certificate has expired",
			server: { tls: { ...serverPair, clientCa: ca.cert } },
			client: { ca: ca.cert, ...ca.issue({ name: "late", days: [-9, -2] }) },
			code: "unauthenticated",
			message: /refuses the certificate of this client \(CN=late, valid from \d{4}-\S+ \S+Z to \d{4}-\S+ \S+Z\); give/,
		},
		{
			title: "says that the server speaks plain text",
			client: { ca: ca.cert },
			message:
				/^the server at \S+ speaks plain text, but this client speaks TLS; start the server with --tls-cert and --tls-key, or leave out tls/,
		},
		{
			title: "says, without TLS, that the server speaks it",
			server: { tls: serverPair },
			message:
				/^the server at \S+ speaks TLS, but this client speaks plain text; give the certificate of the server's CA as tls\.ca \(MILLRACE_TLS_CA, --tls-ca\), or tls: true/,
		},
		{
			title: "says, without TLS, that the server speaks it, though that wants a certificate too",
			server: { tls: { ...serverPair, clientCa: ca.cert } },
			message: /^the server at \S+ speaks TLS, but this client speaks plain text; give/,
		},
	];
	for (const { title, server: options, client, code = "failed_precondition", message } of cases) {
		it(title, async () => {
			const server = await startServer(options);
			const start = performance.now();
			await assert.rejects(ask(server, client), errorWith(code, message));
			assert.ok(performance.now() - start < 5_000, `it took ${performance.now() - start} ms`);
		});
	}

	it("names the CA whose own certificate has expired", async () => {
		const old = new CertificateAuthority("Old CA", [-9, -2]);
		const server = await startServer({ tls: old.issue({ name: "gpu-box", hosts: ["127.0.0.1"] }) });
		const message =
			/\(CN=gpu-box\) is of a CA whose own certificate has expired \(CN=Old CA, on \d{4}-\S+ \S+Z\); the server needs a certificate of another$/;
		await assert.rejects(ask(server, { ca: old.cert }), errorWith("failed_precondition", message));
	});

	it("says that a server speaks TLS, but not gRPC", async () => {
		const https = createHttps(serverPair, (_request, response) => response.end());
		await new Promise<void>((resolve) => https.listen(0, "127.0.0.1", resolve));
		after(() => https.close());
		const { port } = https.address() as { port: number };
		const channel = new Channel(`127.0.0.1:${port}`, { ...patience, security: { tls: { ca: ca.cert } } });
		after(() => channel.close());
		await assert.rejects(
			createRpcClient(ServerService, channel).getServerInfo({}),
			errorWith("failed_precondition", /speaks TLS, but not gRPC; give the address of the gRPC port/),
		);
	});

	it("says, without TLS, that a server speaks HTTP/1, but not gRPC", async () => {
		const http = createHttp((_request, response) => response.end());
		// Another kind of server, which refuses it in two pieces, the first of them short.
		const other = createServer((socket) => {
			socket.on("error", () => {});
			socket.setNoDelay().write("HT");
			setImmediate(() => socket.end("TP/1.0 505 HTTP Version Not Supported\r\n\r\n"));
		});
		for (const listener of [http, other]) {
			await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
			after(() => listener.close());
			const { port } = listener.address() as { port: number };
			const channel = new Channel(`127.0.0.1:${port}`, patience);
			after(() => channel.close());
			const start = performance.now();
			await assert.rejects(
				createRpcClient(ServerService, channel).getServerInfo({}),
				errorWith(
					"failed_precondition",
					/^the server at \S+ speaks HTTP\/1, but not gRPC; give the address of the gRPC port, which millrace server prints$/,
				),
			);
			assert.ok(performance.now() - start < 5_000, `it took ${performance.now() - start} ms`);
		}
	});

	it("says at the deadline that the server it knew has a certificate of another CA now", async () => {
		const first = await startServer({ tls: serverPair });
		const channel = first.channel({ connectMs: 30_000, retryMs: 300, security: { tls: { ca: ca.cert } } });
		const { getServerInfo } = createRpcClient(ServerService, channel);
		await getServerInfo({});
		await first.close();
		await startServer({ tls: otherCa.issue({ name: "gpu-box", hosts: ["127.0.0.1"] }) }, first.port);
		await assert.rejects(
			getServerInfo({}),
			errorWith("failed_precondition", /was issued by CN=Other CA, and this client trusts only CN=Test CA; give/),
		);
	});

	it("does not blame TLS for a server that is not there, or that closes each connection", async () => {
		const server = await startServer({ tls: serverPair });
		await server.close();
		const times = { connectMs: 300, retryMs: 300 };
		await assert.rejects(
			ask(server, { ca: ca.cert }, times),
			errorWith("unavailable", /is it running\? \(connect ECONNREFUSED/),
		);
		const rude = createServer((socket) => socket.destroy()).listen(server.port, "127.0.0.1");
		after(() => rude.close());
		for (const tls of [undefined, { ca: ca.cert, ...clientPair }]) {
			await assert.rejects(ask(server, tls, times), errorWith("unavailable", /^no answer from a Millrace server/));
		}
	});
});

describe("RpcServer with TLS", { timeout: 60_000 }, () => {
	it("cuts connections that have not greeted in time, before and after the handshake", async () => {
		for (const tls of [undefined, serverPair]) {
			const server = await startServer({ tls, greetingMs: 200 });
			const silent = connectPlain(server.port, "127.0.0.1");
			const shaken = tls && connectTls({ host: "127.0.0.1", port: server.port, ca: ca.cert, ALPNProtocols: ["h2"] });
			const sockets = [silent, ...(shaken ? [shaken] : [])];
			const closed = sockets.map(
				(socket) => new Promise((resolve) => socket.on("error", () => {}).once("close", resolve)),
			);
			for (const socket of sockets) {
				socket.resume();
			}
			await Promise.all(closed);
			const channel = server.channel({ ...patience, security: { tls: tls && { ca: ca.cert } } });
			const stream = createRpcClient(MetricService, channel).streamTrialMetrics({})[Symbol.asyncIterator]();
			await stream.next();
			let count = 0;
			server.rpc.onConnectionCount((now) => {
				count = now;
			});
			const late = connectPlain(server.port, "127.0.0.1").resume();
			await new Promise((resolve) => late.on("error", () => {}).once("close", resolve));
			await waitUntil("only the one that speaks to be left", () => count === 1);
			await stream.return?.();
		}
	});

	it("counts connections, and closes at once while clients are idle or in their handshake", async () => {
		const server = await startServer({ tls: serverPair });
		let count = 0;
		server.rpc.onConnectionCount((now) => {
			count = now;
		});
		await ask(server, { ca: ca.cert });
		const silent = connectPlain(server.port, "127.0.0.1");
		silent.on("error", () => {});
		await waitUntil("both", () => count === 2);
		const start = performance.now();
		await server.close(10_000);
		assert.ok(performance.now() - start < 2_000);
		await waitUntil("none", () => count === 0);
	});

	it("cuts streams after the grace", async () => {
		const server = await startServer({ tls: serverPair });
		const channel = server.channel({ connectMs: 500, retryMs: 0, security: { tls: { ca: ca.cert } } });
		const stream = createRpcClient(MetricService, channel).streamTrialMetrics({})[Symbol.asyncIterator]();
		await stream.next();
		const ended = assert.rejects(stream.next(), errorWith("unavailable", /./));
		await server.close(300);
		await ended;
	});
});
