import { hostname } from "node:os";
import { parentPort, workerData } from "node:worker_threads";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { LogLevel, LogStream } from "../gen/millrace/v1/log_pb.js";
import type { ChannelSecurity } from "../rpc/channel.js";
import { openConnection } from "../sdk/connection.js";
import { parseLogLevel } from "../sdk/log-level.js";
import { LogShipper } from "../sdk/log-shipper.js";
import type { OutputName } from "./tee-output.js";

/** What the thread is started with. */
export interface LogThreadData {
	/** The server's. */
	readonly address: string;
	readonly security: ChannelSecurity;
	readonly trialId: number;
	readonly trialRunId: number;
	readonly rank: number;
	/** Its first number counts the lines that were stored, or given up; the thread notifies of each change. */
	readonly settled: Int32Array;
}

/** Lines as lists side by side, which pass between threads at less cost than a list of objects. */
export interface PrintedLines {
	readonly texts: string[];
	/** When they were printed, in milliseconds since 1970. */
	readonly times: number[];
	/** Where they were printed; "error" for those that tell of an error, whatever they say. */
	readonly streams: (OutputName | "error")[];
}

/** What the thread is told; of lines also how many before them were dropped. */
export type LogThreadMessage =
	| { readonly kind: "lines"; readonly lines: PrintedLines; readonly dropped: number }
	/** Not to gather any longer. */
	| { readonly kind: "flush" }
	| { readonly kind: "end"; readonly patienceMs: number };

if (parentPort === null) throw new Error("log-thread is the entry of a worker thread");
const port = parentPort;
const { address, security, trialId, trialRunId, rank, settled } = workerData as LogThreadData;
const connection = openConnection(address, { security });
const host = hostname();
const shipper = new LogShipper({
	...{ logs: connection.logs, trialId },
	onSettled(count) {
		Atomics.add(settled, 0, count);
		Atomics.notify(settled, 0);
	},
});

port.on("message", async (message: LogThreadMessage) => {
	switch (message.kind) {
		case "lines": {
			const { texts, times, streams } = message.lines;
			shipper.countDropped(message.dropped);
			for (const [i, text] of texts.entries()) {
				shipper.add({
					...{ trialRunId, rank, host, text, source: "worker", time: timestampFromMs(times[i] ?? 0) },
					level: streams[i] === "error" ? LogLevel.ERROR : parseLogLevel(text),
					stream: streams[i] === "stdout" ? LogStream.STDOUT : LogStream.STDERR,
				});
			}
			break;
		}
		case "flush":
			shipper.flush();
			break;
		case "end":
			await shipper.close(message.patienceMs);
			connection.close();
			port.close();
	}
});
