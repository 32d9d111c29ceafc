import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { Socket } from "node:net";
import { listenOn } from "../../rpc/listen-on.js";
import { type ServerTls, tlsServerOptions } from "../../rpc/server-tls.js";
import type { ErrorLog } from "../../rpc/status.js";
import { namesLoopback } from "../loopback.js";
import { refusesVerb, sendError, sendJson } from "./json-answer.js";

/**
 * Answers a request, of whose URL `path` is what stands before a question mark. What it throws is logged, and sent as
 * "internal error".
 */
export type HttpHandler = (request: IncomingMessage, response: ServerResponse, path: string) => Promise<void>;

/** What an HttpServer answers, and to whom. */
export interface HttpServerOptions {
	/** Receives what goes wrong inside. */
	readonly log: ErrorLog;
	/** Tells whether only requests are answered that call the server by a name of its own machine. */
	readonly onlyLocalNames: () => boolean;
	/** The certificate, if it is reached by HTTPS alone. Default: it is not. */
	readonly tls?: ServerTls | undefined;
	/** How long it waits for a client, in milliseconds. */
	readonly waits?: Partial<typeof usualWaits>;
}

const usualWaits = {
	/** For the head of a request, from the opening of a connection on. One that comes by drops would hold it for ever. */
	headMs: 10_000,
	/** For a whole request. */
	requestMs: 120_000,
	/** For the next request of a connection. */
	idleMs: 10_000,
};

/** How many connections are accepted at a time. Later ones are closed at once. */
const maxConnections = 1_000;

/** How many requests of a connection may wait for their turn. One that sends more, and does not wait, is cut. */
const maxQueue = 16;

/** The one HTTP listener: `/health`, and what is mounted below other paths. */
export class HttpServer {
	readonly #options: HttpServerOptions;
	readonly #mounts: { readonly prefix: string; readonly handler: HttpHandler }[] = [];
	readonly #server: Server;
	readonly #sockets = new Set<Socket>();
	readonly #underWay = new Set<Promise<void>>();
	readonly #queues = new WeakMap<Socket, { count: number; readonly last: Promise<void> }>();
	#isStopping = false;

	constructor(options: HttpServerOptions) {
		this.#options = options;
		const { headMs, requestMs, idleMs } = { ...usualWaits, ...options.waits };
		const settings = {
			maxHeaderSize: 16 * 1024,
			headersTimeout: headMs,
			requestTimeout: requestMs,
			connectionsCheckingInterval: headMs / 4,
			keepAliveTimeout: idleMs,
			// A machine that vanished would count as connected for hours.
			keepAlive: true,
			keepAliveInitialDelay: 60_000,
			noDelay: true,
		};
		this.#server =
			options.tls === undefined
				? createServer(settings)
				: createSecureServer({ ...settings, ...tlsServerOptions(options.tls), handshakeTimeout: headMs });
		this.#server.on("connection", (socket) => {
			this.#sockets.add(socket);
			socket.once("close", () => this.#sockets.delete(socket));
		});
		this.#server.maxConnections = maxConnections;
		this.#server.on("request", (request, response) => this.#queue(request, response));
		// Who waits to be told to go on with its body is told so by whoever reads the body.
		this.#server.on("checkContinue", (request, response) => {
			// One that was not told so may send the body all the same, or not.
			response.shouldKeepAlive = false;
			this.#queue(request, response);
		});
	}

	/** Has a handler answer all requests whose path begins with `prefix`, unless a longer prefix fits. */
	mount(prefix: string, handler: HttpHandler): void {
		this.#mounts.push({ prefix, handler });
		this.#mounts.sort((a, b) => b.prefix.length - a.prefix.length);
	}

	/**
	 * Accepts connections, and returns the port. Port 0 takes a free one.
	 *
	 * Throws `already_exists` if the port is in use, `invalid_argument` if the host is not one of this machine.
	 */
	listen(host: string, port: number): Promise<number> {
		return listenOn(this.#server, host, port, httpPortAdvice);
	}

	/**
	 * Stops: requests under way have `graceMs` to end, and the rest is cut. Until then `/health` says NOT_SERVING and every
	 * other request is told that the server stops.
	 */
	async close(graceMs = 5_000): Promise<void> {
		this.#isStopping = true;
		if (!this.#server.listening) {
			return;
		}
		let force: NodeJS.Timeout | undefined;
		const grace = new Promise<void>((resolve) => {
			force = setTimeout(resolve, graceMs);
		});
		await Promise.race([Promise.all(this.#underWay), grace]);
		clearTimeout(force);
		const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
		this.#server.closeAllConnections();
		// Node knows nothing of those in their TLS handshake.
		for (const socket of this.#sockets) {
			socket.destroy();
		}
		await closed;
	}

	/** Answers the requests of a connection one after the other, however many a client sends before it reads. */
	#queue(request: IncomingMessage, response: ServerResponse): void {
		const { socket } = request;
		const { count, last } = this.#queues.get(socket) ?? { count: 0, last: Promise.resolve() };
		if (count === maxQueue) {
			socket.destroy();
			return;
		}
		const answered = last
			.then(() => (socket.destroyed ? undefined : this.#answer(request, response)))
			.finally(() => {
				this.#underWay.delete(answered);
				const queue = this.#queues.get(socket);
				if (queue !== undefined) {
					queue.count -= 1;
				}
			});
		this.#underWay.add(answered);
		this.#queues.set(socket, { count: count + 1, last: answered });
	}

	async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
		const sent = new Promise<void>((resolve) => {
			response.once("finish", resolve);
			response.once("close", resolve);
			request.socket.once("close", resolve);
			response.once("finish", () => request.socket.off("close", resolve));
		});
		response.setHeader("cache-control", "no-store");
		response.setHeader("x-content-type-options", "nosniff");
		try {
			await this.#route(request, response);
		} catch (error) {
			this.#options.log(`${request.method} ${pathOf(request)} failed`, error);
			if (response.headersSent) {
				response.destroy();
			} else {
				sendError(response, { code: "internal", message: "internal error" });
			}
		}
		await sent;
	}

	async #route(request: IncomingMessage, response: ServerResponse): Promise<void> {
		const path = pathOf(request);
		if (this.#isStopping) {
			response.shouldKeepAlive = false;
		}
		if (this.#options.onlyLocalNames() && !namesLoopback(request.headers.host)) {
			const name = JSON.stringify(request.headers.host ?? "");
			const message =
				`the request is to the host ${name}, and a server without accounts answers only to names of its own machine; ` +
				"call it as localhost or 127.0.0.1, have a proxy send such a header Host, or make an account";
			sendError(response, { code: "permission_denied", message });
		} else if (path === "/health") {
			answerHealth(request, response, this.#isStopping);
		} else if (this.#isStopping) {
			sendError(response, { code: "unavailable", message: "the server stops; call again when it is back" });
		} else {
			const mount = this.#mounts.find(({ prefix }) => path.startsWith(prefix));
			if (mount === undefined) {
				const places = ["/health", ...this.#mounts.map(({ prefix }) => prefix).sort()];
				const message = `nothing is at ${path}; there are ${places.join(", ")}`;
				sendError(response, { code: "not_found", message });
			} else {
				await mount.handler(request, response, path);
			}
		}
	}
}

/** What to do when the port for HTTP is in use. */
export const httpPortAdvice = "choose another with --http-port, or serve no HTTP with --no-http";

function pathOf(request: IncomingMessage): string {
	return (request.url ?? "/").split("?", 1)[0] ?? "/";
}

function answerHealth(request: IncomingMessage, response: ServerResponse, isStopping: boolean): void {
	if (!refusesVerb(request, response, ["GET", "HEAD"])) {
		sendJson(response, isStopping ? 503 : 200, { status: isStopping ? "NOT_SERVING" : "SERVING" });
	}
}
