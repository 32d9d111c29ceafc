import { join } from "node:path";
import { builtCommand } from "../support/start-built-server.js";
import { waitUntil } from "../support/wait-until.js";
import { type LoggedProcess, startLogged } from "./logged-process.js";

/** Lets a server stop itself at its own steps. */
const faultPoints = new URL("fault-points.js", import.meta.url);
const startMs = 20_000;

/** A server of the built package that is started again at the same port whenever it dies. */
export class ServerProcess {
	readonly #directory: string;
	readonly #env: Record<string, string>;
	#process: LoggedProcess | undefined;
	#port = 0;
	#starts = 0;
	#isStopped = false;
	#keeping: Promise<void> | undefined;
	/** How long a server that died stays away, in milliseconds. */
	awayMs = 0;

	constructor(directory: string, env: Record<string, string>) {
		this.#directory = directory;
		this.#env = { ...env, NODE_OPTIONS: `--import=${faultPoints.href}` };
	}

	/** Its address as `host:port`. */
	get address(): string {
		return `127.0.0.1:${this.#port}`;
	}

	/** Starts it, and waits until it serves. */
	async start(): Promise<void> {
		await this.#startOnce();
		this.#keeping = this.#keep();
	}

	/** Kills it or asks it to stop, and waits until it has ended. It is started again after `awayMs`. */
	async interrupt(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
		const stopped = this.#process;
		stopped?.signal(signal);
		await stopped?.ended;
	}

	/** Stops it for good. Throws if it does not end by itself. */
	async stop(): Promise<void> {
		this.#isStopped = true;
		this.#process?.signal("SIGTERM");
		try {
			await waitUntil("the end of the server", () => !this.#process?.isRunning);
		} finally {
			this.#process?.signal("SIGKILL");
			await this.#keeping;
		}
	}

	async #keep(): Promise<void> {
		while (!this.#isStopped) {
			await this.#process?.ended;
			const until = Date.now() + this.awayMs;
			await waitUntil("the next server", () => this.#isStopped || Date.now() >= until, 60_000);
			if (!this.#isStopped) {
				await this.#startOnce();
			}
		}
	}

	async #startOnce(): Promise<void> {
		const data = join(this.#directory, "data");
		const log = join(this.#directory, `server-${++this.#starts}.log`);
		const args = [builtCommand, "server", "--port", String(this.#port), "--no-http", "--data", data];
		const started = startLogged(args, this.#env, log);
		this.#process = started;
		const isServing = () => /serving at \S+:(\d+),/.exec(started.output());
		await waitUntil("a server that serves", () => isServing() ?? (started.isRunning ? undefined : true), startMs);
		this.#port = Number(isServing()?.[1] ?? this.#port);
	}
}
