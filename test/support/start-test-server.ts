import { after } from "node:test";
import type { DescService } from "@bufbuild/protobuf";
import { Channel } from "../../src/rpc/channel.js";
import { createRpcClient, type RpcClient } from "../../src/rpc/client.js";
import type { Limits } from "../../src/rpc/limits/limits.js";
import { type RunningServer, type ServerTlsFiles, startServer } from "../../src/server/index.js";
import { tempDir } from "./temp-dir.js";

/** A real server on a free port. */
export interface TestServer extends RunningServer {
	/** What it logged as its own errors. */
	readonly logged: readonly string[];
	/** Makes a client of one of its services, which is closed after the test. It shows the token, if there is one. */
	client<S extends DescService>(service: S, token?: string): RpcClient<S>;
}

/** What a test may choose. */
export interface TestServerOptions {
	readonly dataDirectory?: string;
	/** Default: a loopback address. */
	readonly host?: string;
	readonly port?: number;
	/** Default: no HTTP. */
	readonly httpPort?: number;
	readonly leaseMs?: number;
	readonly limits?: Partial<Limits>;
	/** The PEM files of a server that speaks TLS; `client` is for one that does not. */
	readonly tls?: ServerTlsFiles;
}

/** Starts a server, on a free port and a directory of its own unless they are given, and closes it after the test that it is called in. */
export async function startTestServer(options: TestServerOptions = {}): Promise<TestServer> {
	const closers: (() => unknown)[] = [];
	// Registered before the directory is made, so that it is not removed under the server.
	after(async () => {
		for (const close of closers.reverse()) {
			await close();
		}
	});
	const logged: string[] = [];
	const server = await startServer({
		dataDirectory: options.dataDirectory ?? tempDir(),
		host: options.host,
		port: options.port ?? 0,
		httpPort: options.httpPort,
		leaseMs: options.leaseMs,
		limits: options.limits,
		tls: options.tls,
		log: (message, error) => {
			logged.push(`${message}: ${error instanceof Error ? error.stack : error}`);
			console.error(logged.at(-1));
		},
	});
	closers.push(() => server.close());
	return {
		address: server.address,
		httpAddress: server.httpAddress,
		dataDirectory: server.dataDirectory,
		get connectionCount() {
			return server.connectionCount;
		},
		onConnectionCount: (listener) => server.onConnectionCount(listener),
		close: () => server.close(),
		logged,
		client(service, token) {
			const channel = new Channel(server.address, { connectMs: 5_000, retryMs: 5_000, security: { token } });
			closers.push(() => channel.close());
			return createRpcClient(service, channel);
		},
	};
}
