import { type ChannelOptions, Client, credentials, Metadata } from "@grpc/grpc-js";
import { MillraceError } from "../errors.js";
import { type ChannelTls, grpcTls } from "./channel-tls.js";

/** The largest message either side accepts, in bytes: a collective's 16 MiB with room for the rest. */
export const maxMessageBytes = 32 * 1024 * 1024;

/** What a channel shows to the server, and what it wants to be shown. It passes between threads as it is. */
export interface ChannelSecurity {
	/** The token to show with every call. Default: none. */
	readonly token?: string | undefined;
	/** TLS, and by which certificates. Default: plain text. */
	readonly tls?: ChannelTls | undefined;
}

/** How a channel behaves. */
export interface ChannelSettings {
	/** Who calls. Default: nobody in particular. */
	readonly security?: ChannelSecurity | undefined;
	/** How long a call waits for a server that was never reached, in milliseconds. Default 10,000. */
	readonly connectMs?: number;
	/** How long a call is repeated while a server that was reached before is away, in milliseconds. Default 300,000. */
	readonly retryMs?: number;
}

/** A connection to one server, which reconnects by itself. */
export class Channel {
	/** The server's address as `host:port`. */
	readonly address: string;
	readonly connectMs: number;
	readonly retryMs: number;
	/** What it shows to the server, and is to be shown; another token may be put in its place at any time. */
	security: ChannelSecurity;
	/** Whether a call was ever answered. */
	reached = false;
	/** grpc-js's client, for client.ts. */
	grpc: Client;
	/** Called by `close`, for call-guard.ts. */
	readonly closeListeners = new Set<() => void>();
	#closed = false;

	constructor(address: string, settings: ChannelSettings = {}) {
		this.address = address;
		this.connectMs = settings.connectMs ?? 10_000;
		this.retryMs = settings.retryMs ?? 300_000;
		this.security = settings.security ?? {};
		this.grpc = newClient(address, this.security);
	}

	/**
	 * Makes a new connection for the calls to come, since the present one seems dead: the system would go on for minutes
	 * to send into it, more and more rarely. Returns a function that ends the old one, whose calls may still be alive.
	 */
	renew(): () => void {
		const old = this.grpc;
		if (!this.#closed) {
			this.grpc = newClient(this.address, this.security);
			this.closeListeners.add(drop);
		}
		const { closeListeners } = this;
		function drop(): void {
			closeListeners.delete(drop);
			old.close();
		}
		return drop;
	}

	/** Ends the connection; calls in flight, and later ones, fail with `cancelled`. */
	close(): void {
		this.#closed = true;
		for (const listener of this.closeListeners) {
			listener();
		}
		this.grpc.close();
	}

	/** The metadata of a new call. */
	metadata(): Metadata {
		const metadata = new Metadata();
		if (this.security.token) {
			metadata.set("authorization", `Bearer ${this.security.token}`);
		}
		return metadata;
	}

	/** Throws `cancelled` once the channel is closed. */
	assertOpen(): void {
		if (this.#closed) {
			throw this.closedError();
		}
	}

	/** What calls of a closed channel fail with. */
	closedError(): MillraceError {
		return new MillraceError("cancelled", `the connection to ${this.address} was closed on this side`);
	}
}

function newClient(address: string, { tls }: ChannelSecurity): Client {
	if (tls === undefined) {
		return new Client(address, credentials.createInsecure(), options);
	}
	const secure = grpcTls(address, tls);
	return new Client(address, secure.credentials, { ...options, ...secure.options });
}

const options: ChannelOptions = {
	"grpc.max_send_message_length": maxMessageBytes,
	"grpc.max_receive_message_length": maxMessageBytes,
	"grpc.keepalive_time_ms": 20_000,
	"grpc.keepalive_timeout_ms": 10_000,
	"grpc.initial_reconnect_backoff_ms": 50,
	"grpc.min_reconnect_backoff_ms": 50,
	// A worker has a second to come back, so the attempts must not lie far apart.
	"grpc.max_reconnect_backoff_ms": 200,
	// An embedded server lives as long as someone is connected, so an idle client stays connected.
	"grpc.client_idle_timeout_ms": 2_147_483_647,
	// Channels to one address would otherwise share a connection, and one's close would not end it.
	"grpc.use_local_subchannel_pool": 1,
};
