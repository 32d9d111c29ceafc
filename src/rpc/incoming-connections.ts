import type { Socket } from "node:net";
import { createServer, type Server as TlsServer } from "node:tls";
import { type ServerTls, tlsServerOptions } from "./server-tls.js";

/** How connections come in. */
export interface IncomingOptions {
	/** The server's certificate, if it speaks TLS. Default: it speaks plain text. */
	readonly tls?: ServerTls | undefined;
	/** How long a connection may take from its start until it has sent HTTP/2's greeting, in milliseconds. */
	readonly greetingMs: number;
	/** Takes a connection on which HTTP/2 is to be spoken: the socket, or what TLS makes of it. */
	readonly onReady: (connection: Socket) => void;
	/** Called with the number of open connections whenever it changes. */
	readonly onCount: (count: number) => void;
}

interface Incoming {
	readonly socket: Socket;
	/** Where HTTP/2 is spoken; undefined until the TLS handshake is done. */
	spoken: Socket | undefined;
}

/** The open connections of a server, TLS included. One that does not speak is cut. */
export class IncomingConnections {
	readonly #options: IncomingOptions;
	readonly #open = new Set<Incoming>();
	/** Those in their handshake, by both ends' addresses: nothing else leads from a socket to what TLS makes of it. */
	readonly #shaking = new Map<string, Incoming>();
	readonly #tls: TlsServer | undefined;

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
		socket.setNoDelay(true);
		const incoming: Incoming = { socket, spoken: this.#tls === undefined ? socket : undefined };
		const ends = endsOf(socket);
		const timer = setTimeout(() => cutIfSilent(incoming), this.#options.greetingMs);
		timer.unref();
		socket.on("close", () => {
			clearTimeout(timer);
			this.#open.delete(incoming);
			this.#shaking.delete(ends);
			this.#options.onCount(this.#open.size);
		});
		this.#open.add(incoming);
		this.#options.onCount(this.#open.size);
		if (this.#tls === undefined) {
			this.#options.onReady(socket);
		} else {
			// What breaks is told by the TLS socket; without a listener it would be thrown here too.
			socket.on("error", () => {});
			this.#shaking.set(ends, incoming);
			this.#tls.emit("connection", socket);
		}
	}

	/** Cuts the connections that have not greeted: no call is lost with them. */
	cutSilent(): void {
		for (const incoming of this.#open) {
			cutIfSilent(incoming);
		}
	}

	/** Cuts all connections. */
	cutAll(): void {
		for (const { socket } of this.#open) {
			socket.destroy();
		}
	}

	#createTls(tls: ServerTls): TlsServer {
		// It listens nowhere, and has its connections from `accept`.
		const server = createServer({ ...tlsServerOptions(tls), ALPNProtocols: ["h2"] });
		server.on("secureConnection", (spoken) => {
			// The end of a connection is told by HTTP/2; without a listener its reason would be thrown.
			spoken.on("error", () => {});
			const incoming = this.#shaking.get(endsOf(spoken));
			if (incoming === undefined) {
				spoken.destroy();
				return;
			}
			incoming.spoken = spoken;
			this.#options.onReady(spoken);
		});
		// The caller is told by TLS; on this side it is no more than a caller who was not let in.
		server.on("tlsClientError", (_error, spoken) => void spoken.destroy());
		return server;
	}
}

/** The length of the words that every HTTP/2 connection starts with: who has not sent them has no call. */
const greetingBytes = 24;

function cutIfSilent({ socket, spoken }: Incoming): void {
	// Of a TLS socket these are the bytes of what was said, without the handshake.
	if (spoken === undefined || spoken.bytesRead < greetingBytes) {
		socket.destroy();
	}
}

function endsOf({ localAddress, localPort, remoteAddress, remotePort }: Socket): string {
	return [localAddress, localPort, remoteAddress, remotePort].join(" ");
}
