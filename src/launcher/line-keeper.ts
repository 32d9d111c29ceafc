import { hostname } from "node:os";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import { LogLevel, LogStream } from "../gen/millrace/v1/log_pb.js";
import { areLogsKept } from "../logs-kept.js";
import { openNamed } from "../sdk/connect.js";
import type { Connection } from "../sdk/connection.js";
import { parseLogLevel } from "../sdk/log-level.js";
import { LogShipper } from "../sdk/log-shipper.js";
import type { PrintedLine } from "./launch.js";

/** How patient the end is with the last lines, in milliseconds: with a server that was reached, and with one not yet reached. */
const patienceMs = 5_000;
const unreachedMs = 1_000;

/** Keeps what the workers of a launch print with the server of their trial. */
export class LineKeeper {
	readonly #connection: Connection;
	readonly #shipper: LogShipper;
	readonly #trialRunId: number;

	/**
	 * Returns the keeper for workers with this environment; undefined where it names no trial or no server, or somebody
	 * keeps the lines already.
	 */
	static forWorkers(environment: NodeJS.ProcessEnv): LineKeeper | undefined {
		const trialId = idFrom(environment.MILLRACE_TRIAL_ID);
		if (trialId === 0 || !environment.MILLRACE_SERVER || areLogsKept(environment)) {
			return undefined;
		}
		try {
			const connection = openNamed(environment.MILLRACE_SERVER, {}, environment);
			return new LineKeeper(connection, trialId, idFrom(environment.MILLRACE_TRIAL_RUN_ID));
		} catch {
			// The address or the token is malformed, or a file of TLS is no good, as each worker will say.
			return undefined;
		}
	}

	private constructor(connection: Connection, trialId: number, trialRunId: number) {
		this.#connection = connection;
		this.#shipper = new LogShipper({ logs: connection.logs, trialId });
		this.#trialRunId = trialRunId;
		this.#shipper.announce();
	}

	/** Keeps a line. */
	keep({ rank, stream, text }: PrintedLine): void {
		this.#shipper.add({
			trialRunId: this.#trialRunId,
			...(rank !== undefined && { rank }),
			level: rank === undefined ? LogLevel.ERROR : parseLogLevel(text),
			stream: stream === "stdout" ? LogStream.STDOUT : LogStream.STDERR,
			source: rank === undefined ? "launch" : "worker",
			host: hostname(),
			time: timestampNow(),
			text,
		});
	}

	/** Sends the last lines, as `LogShipper.close` does. Returns how many could not be sent. */
	async close(): Promise<number> {
		const lost = await this.#shipper.close(patienceMs, this.#connection.channel.reached ? patienceMs : unreachedMs);
		this.#connection.close();
		return lost;
	}
}

/** Returns the id that a variable holds; 0 if it holds none. */
function idFrom(text: string | undefined): number {
	return /^[1-9]\d{0,8}$/.test(text ?? "") ? Number(text) : 0;
}
