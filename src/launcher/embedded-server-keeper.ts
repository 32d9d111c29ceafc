import { hostname } from "node:os";
import { readServerAddress, type ServerAddress } from "../data-directory.js";
import { messageOf } from "../errors.js";
import { startEmbeddedServer } from "../sdk/embedded-server.js";
import { isLivingProcess } from "./process-state.js";

/** How often it is looked whether the server lives, in milliseconds. */
const lookMs = 200;

/** How long a server that does not start again is tried, in milliseconds: as long as workers wait for one. */
const patienceMs = 300_000;

/** What a keeper of an embedded server works with. */
export interface KeeperOptions {
	/** The data directory. */
	readonly directory: string;
	/** The address that this process and its workers use. */
	readonly address: string;
	/** Tells the user. */
	readonly say: (line: string) => void;
	/** Called, with the reason, when the directory's server is at another address now, where no worker finds it. */
	readonly onMoved: (why: string) => void;
}

/**
 * Starts the embedded server of a data directory again when it dies, at the same address, so that whoever calls it
 * waits for a moment and goes on. Does nothing where the address is not that of an embedded server on this host.
 */
export class EmbeddedServerKeeper {
	readonly #options: KeeperOptions;
	#server: ServerAddress | undefined;
	#timer: NodeJS.Timeout | undefined;
	#isClosed = false;

	constructor(options: KeeperOptions) {
		this.#options = options;
		const server = readServerAddress(options.directory);
		if (server?.embedded && server.address === options.address && server.host === hostname()) {
			this.#server = server;
			this.#lookLater();
		}
	}

	/** Leaves the server to itself. */
	close(): void {
		this.#isClosed = true;
		clearTimeout(this.#timer);
	}

	#lookLater(): void {
		this.#timer = setTimeout(() => void this.#look(), lookMs);
	}

	async #look(): Promise<void> {
		if (this.#server !== undefined && !isLivingProcess(this.#server.pid)) {
			this.#options.say(`the embedded server at ${this.#options.address} has died; starting it again`);
			await this.#restart().catch((error) => this.#options.say(messageOf(error)));
		}
		if (!this.#isClosed && this.#server !== undefined) {
			this.#lookLater();
		}
	}

	/** Starts it; afterwards `#server` is the one to look at, if there is one. */
	async #restart(): Promise<void> {
		const { directory, address, say, onMoved } = this.#options;
		const port = Number(address.slice(address.lastIndexOf(":") + 1));
		this.#server = undefined;
		for (const deadline = Date.now() + patienceMs; !this.#isClosed; ) {
			const started = await startEmbeddedServer(directory, { port });
			const server = readServerAddress(directory);
			if (server !== undefined && ("address" in started || isLivingProcess(server.pid))) {
				if (server.address !== address) {
					onMoved(
						`another process has started the server of ${directory} at ${server.address}, and the workers know it at ${address}`,
					);
					return;
				}
				say(`the embedded server at ${address} serves again`);
				this.#server = server;
				return;
			}
			if (Date.now() > deadline) {
				say(`the embedded server at ${address} did not start again: ${"failure" in started ? started.failure : ""}`);
				return;
			}
			await new Promise((resolve) => setTimeout(resolve, lookMs));
		}
	}
}
