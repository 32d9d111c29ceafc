import { connect, createServer, type Socket } from "node:net";
import { after } from "node:test";

/** A wire between clients and a server that can be cut. */
export interface CutProxy {
	/** Where clients connect, as `host:port`. */
	readonly address: string;
	/** The number of connections through it. */
	readonly connectionCount: number;
	/** Holds back what comes, from one end or from both; nobody notices yet. */
	pause(from?: "client" | "server"): void;
	/** Holds back for good what comes on the connections there are; later ones are not concerned. Nobody notices. */
	strand(): void;
	/** Breaks all connections, drops what was held back, and refuses new ones. */
	cut(how?: "end" | "reset"): void;
	/** Lets everything through again. */
	resume(): void;
	/** Breaks all connections, and ends. */
	close(): void;
}

/** Starts a proxy of one server, and closes it after the test that it is called in. */
export async function startCutProxy(target: string): Promise<CutProxy> {
	const proxy = await openCutProxy(target);
	after(() => proxy.close());
	return proxy;
}

/** Starts a proxy of one server, which is to be closed. */
export async function openCutProxy(target: string): Promise<CutProxy> {
	const [host, port] = target.split(":");
	const wires = new Set<{ readonly client: Socket; readonly server: Socket }>();
	const stranded = new Set<{ readonly client: Socket; readonly server: Socket }>();
	const paused = { client: false, server: false };
	let isCut = false;
	const listener = createServer((client) => {
		client.on("error", () => {});
		if (isCut) {
			client.destroy();
			return;
		}
		const server = connect(Number(port), host);
		const wire = { client, server };
		wires.add(wire);
		forward(client, server, paused.client);
		forward(server, client, paused.server);
		server.once("close", () => wires.delete(wire));
	});
	const cut = (how: "end" | "reset" = "end") => {
		isCut = true;
		for (const socket of [...wires, ...stranded].flatMap(({ client, server }) => [client, server])) {
			how === "reset" ? socket.resetAndDestroy() : socket.destroy();
		}
		wires.clear();
		stranded.clear();
	};
	await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
	const bound = listener.address();
	return {
		address: `127.0.0.1:${typeof bound === "object" ? bound?.port : bound}`,
		get connectionCount() {
			return wires.size;
		},
		pause(from) {
			for (const end of ["client", "server"] as const) {
				if (from === undefined || from === end) {
					paused[end] = true;
					for (const wire of wires) {
						wire[end].pause();
					}
				}
			}
		},
		strand() {
			for (const wire of wires) {
				wire.client.pause();
				wire.server.pause();
				stranded.add(wire);
				wires.delete(wire);
			}
		},
		cut,
		resume() {
			isCut = false;
			paused.client = false;
			paused.server = false;
			for (const { client, server } of wires) {
				client.resume();
				server.resume();
			}
		},
		close() {
			listener.close();
			cut();
		},
	};
}

function forward(from: Socket, to: Socket, isPaused: boolean): void {
	from.setNoDelay(true);
	from.on("data", (bytes) => to.write(bytes));
	from.on("error", () => {});
	from.once("close", () => to.destroy());
	if (isPaused) {
		from.pause();
	}
}
