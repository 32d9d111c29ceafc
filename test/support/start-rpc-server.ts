import { after } from "node:test";
import { Channel, type ChannelSettings } from "../../src/rpc/channel.js";
import { type Gate, openGate } from "../../src/rpc/gate.js";
import { RpcServer, type RpcServerOptions } from "../../src/rpc/server.js";

/** An RpcServer without a database behind it. */
export interface TestRpcServer {
	readonly rpc: RpcServer;
	readonly port: number;
	/** The server's address as `host:port`. */
	readonly address: string;
	/** What its handlers threw that was no MillraceError. */
	readonly logged: readonly { readonly message: string; readonly error: unknown }[];
	/** Makes a channel to it, which is closed after the test. */
	channel(timeouts?: ChannelSettings): Channel;
	/** Stops it, at once unless a grace is given. */
	close(graceMs?: number): Promise<void>;
}

/** Starts an RpcServer with the services that `add` adds, and closes it after the test that it is called in. */
export async function startRpcServer(
	add: (rpc: RpcServer) => void,
	port = 0,
	{ gate = openGate, ...options }: RpcServerOptions & { readonly gate?: Gate } = {},
): Promise<TestRpcServer> {
	const logged: { message: string; error: unknown }[] = [];
	const channels: Channel[] = [];
	const rpc = new RpcServer((message, error) => logged.push({ message, error }), gate, options);
	after(async () => {
		for (const channel of channels) {
			channel.close();
		}
		await rpc.close(0);
	});
	add(rpc);
	const bound = await rpc.listen("127.0.0.1", port);
	const address = `127.0.0.1:${bound}`;
	return {
		rpc,
		port: bound,
		address,
		logged,
		channel(timeouts = { connectMs: 5_000, retryMs: 5_000 }) {
			const channel = new Channel(address, timeouts);
			channels.push(channel);
			return channel;
		},
		close: (graceMs = 0) => rpc.close(graceMs),
	};
}
