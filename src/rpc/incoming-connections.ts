import type { Socket } from "node:net";
import { createServer, type Server as TlsServer } from "node:tls";
import { http2Greeting } from "./http2-greeting.js";
import { IncomingConnection } from "./incoming-connection.js";
import { Pace } from "./limits/pace.js";
import { peerOf } from "./peer-of.js";
import { type ServerTls, tlsServerOptions } from "./server-tls.js";

/** How connections come in. */
export interface IncomingOptions {
	/** The server's certificate, if it speaks TLS. Default: it speaks plain text. */
	readonly tls?: ServerTls | undefined;
	/** How long a connection may take from its start until it has sent HTTP/2's greeting, in milliseconds. */
	readonly greetingMs: number;
	/** The connections that are taken at a time. Some more are taken to be told so. */
	readonly maxConnections: number;
	/** Takes a connection on which HTTP/2 is to be spoken: the socket, or what TLS makes of it. */
	readonly onReady: (connection: Socket) => void;
	/** Called with the number of open connections whenever it changes. */
	readonly onCount: (count: number) => void;
}

/** How many connections beyond the limit are taken, to be told what is wrong. */
const crowd = 32;
/** How many are kept that have said something else than HTTP/2. */
const mostOver = 500;

/** The open connections of a server, TLS included. One that does not speak is cut. */
export class IncomingConnections {
	readonly #options: IncomingOptions;
	readonly #open = new Set<IncomingConnection>();
	readonly #byPeer = new Map<string, IncomingConnection>();
	/** Those in their handshake, by both ends' addresses: nothing else leads from a socket to what TLS makes of it. */
	readonly #shaking = new Map<string, IncomingConnection>();
	/** The connections that ended without a call, by the host that they came from. */
	readonly #useless = new Pace({ burst: 100, apartMs: 20, mostMs: 200 });
	readonly #tls: TlsServer | undefined;
	#over = 0;

	constructor(options: IncomingOptions) {
		this.#options = options;
		this.#tls = options.tls && this.#createTls(options.tls);
	}

	/** The number of open connections, of those too that have not spoken yet. */
	get count(): number {
		return this.#open.size;
	}

	/** Takes a connection that was just accepted. */
	accept(socket: Socket): void {
		if (this.#open.size >= this.#options.maxConnections) {
			this.#cutIdle();
		}
		const isExtra = this.#open.size >= this.#options.maxConnections;
		if (this.#open.size >= this.#options.maxConnections + crowd) {
			socket.destroy();
			return;
		}
		socket.setNoDelay(true);
		const incoming = new IncomingConnection(socket, isExtra);
		const ends = endsOf(socket);
		const peer = peerOf(socket);
		const host = String(socket.remoteAddress);
		const timer = setTimeout(() => incoming.cutIfSilent(), this.#options.greetingMs).unref();
		// Who connects again and again, and calls nothing, could keep a server busy with nothing else.
		const waitMs = this.#useless.waitOf(host);
		const start = waitMs > 0 ? setTimeout(() => this.#begin(incoming, ends), waitMs).unref() : undefined;
		// What breaks is told by HTTP/2 or TLS; without a listener it would be thrown here too.
		socket.on("error", ignore);
		socket.on("close", () => {
			clearTimeout(timer);
			clearTimeout(start);
			if (!incoming.hasCalled) {
				this.#useless.count(host);
			}
			this.#over -= incoming.isOver ? 1 : 0;
			this.#open.delete(incoming);
			// The end of this one may be noticed after its caller has come again by the same port.
			forget(this.#byPeer, peer, incoming);
			forget(this.#shaking, ends, incoming);
			this.#options.onCount(this.#open.size);
		});
		this.#open.add(incoming);
		this.#byPeer.set(peer, incoming);
		this.#options.onCount(this.#open.size);
		if (start === undefined) {
			this.#begin(incoming, ends);
		}
	}

	/** Begins to listen to a connection. */
	#begin(incoming: IncomingConnection, ends: string): void {
		const { socket } = incoming;
		if (this.#tls === undefined) {
			incoming.spoken = socket;
			this.#greet(incoming, socket);
		} else {
			this.#shaking.set(ends, incoming);
			this.#tls.emit("connection", socket);
		}
	}

	/**
	 * Takes note that a call begins. Returns its connection, whose `endCall` is to be called once; undefined if that has gone.
	 */
	beginCall(peer: string): IncomingConnection | undefined {
		const calling = this.#byPeer.get(peer);
		if (calling === undefined) {
			return undefined;
		}
		calling.beginCall();
		calling.isExtra &&= this.#open.size > this.#options.maxConnections;
		if (calling.isExtra) {
			// It may come again, when there is room.
			setTimeout(() => calling.isExtra && calling.socket.destroy(), crowdMs).unref();
		}
		return calling;
	}

	/** Cuts the connection that has been idle the longest, of strangers first: clients of gRPC open another when they call. */
	#cutIdle(): void {
		const latest = performance.now() - this.#options.greetingMs;
		let found: IncomingConnection | undefined;
		for (const incoming of this.#open) {
			if (incoming.isIdleSince(latest) && (found === undefined || incoming.makesRoomBefore(found))) {
				found = incoming;
			}
		}
		if (found !== undefined) {
			// Its end takes a moment, and this one is to make room but once.
			this.#open.delete(found);
			found.socket.destroy();
		}
	}

	/** Cuts the connections that have not greeted: no call is lost with them. */
	cutSilent(): void {
		for (const incoming of this.#open) {
			incoming.cutIfSilent();
		}
	}

	/** Cuts all connections. */
	cutAll(): void {
		for (const { socket } of this.#open) {
			socket.destroy();
		}
	}

	/**
	 * Hands over a connection once it has sent HTTP/2's greeting. One that sends something else is told so; if its caller does
	 * not close it then, it is as good as silent, and costs less than those that the caller would open next.
	 */
	#greet(incoming: IncomingConnection, spoken: Socket): void {
		let said = Buffer.alloc(0);
		const onReadable = () => {
			const more: Buffer | null = spoken.read();
			if (more === null) {
				return;
			}
			said = Buffer.concat([said, more]);
			if (!http2Greeting.subarray(0, said.length).equals(said.subarray(0, http2Greeting.length))) {
				spoken.off("readable", onReadable);
				// A client of TLS sees by any words that this is none.
				const isKept = this.#over < mostOver;
				spoken.end(speaksHttp1(said) ? wrongPort : farewell, isKept ? undefined : () => spoken.destroy());
				if (isKept) {
					this.#over += 1;
					incoming.noteOver();
					hearOut(spoken);
				}
			} else if (said.length >= http2Greeting.length) {
				spoken.off("readable", onReadable);
				spoken.unshift(said);
				this.#options.onReady(spoken);
			}
		};
		spoken.on("readable", onReadable);
	}

	#createTls(tls: ServerTls): TlsServer {
		// It listens nowhere, and has its connections from `accept`.
		const server = createServer({ ...tlsServerOptions(tls), ALPNProtocols: ["h2"] });
		server.on("secureConnection", (spoken) => {
			// The end of a connection is told by HTTP/2; without a listener its reason would be thrown.
			spoken.on("error", ignore);
			const incoming = this.#shaking.get(endsOf(spoken));
			if (incoming === undefined) {
				spoken.destroy();
				return;
			}
			incoming.spoken = spoken;
			this.#greet(incoming, spoken);
		});
		// The caller is told by TLS; on this side it is no more than a caller who was not let in.
		server.on("tlsClientError", (_error, spoken) => void spoken.destroy());
		return server;
	}
}

/** How long a connection too many is kept after it was told so, in milliseconds. */
const crowdMs = 1_000;

function speaksHttp1(said: Buffer): boolean {
	return /^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) /.test(said.toString("latin1"));
}

const wrongPortText = "this port speaks gRPC; JSON over HTTP has a port of its own, 8080 or that of --http-port\n";

/** What is said to curl and browsers. */
const wrongPort = Buffer.from(
	`HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: ${wrongPortText.length}\r\n` +
		`connection: close\r\n\r\n${wrongPortText}`,
);

/** What is said to who says something else: HTTP/2's frame that ends a connection for an error of protocol. */
const farewell = Buffer.from("\0\0\u0008\u0007\0\0\0\0\0\0\0\0\0\0\0\0\u0001", "latin1");

function ignore(): void {}

function forget(connections: Map<string, IncomingConnection>, name: string, incoming: IncomingConnection): void {
	if (connections.get(name) === incoming) {
		connections.delete(name);
	}
}

/** Reads what else is said, to learn when its caller closes a connection; not for ever. */
function hearOut(spoken: Socket): void {
	const until = spoken.bytesRead + mostHeard;
	spoken.on("data", () => {
		if (spoken.bytesRead > until) {
			spoken.pause();
		}
	});
}

/** How many bytes are read of what is no HTTP/2. */
const mostHeard = 64 * 1024;

function endsOf({ localAddress, localPort, remoteAddress, remotePort }: Socket): string {
	return [localAddress, localPort, remoteAddress, remotePort].join(" ");
}
