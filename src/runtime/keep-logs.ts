import { inspect } from "node:util";
import { createLineSplitter } from "../line-splitter.js";
import { areLogsKept } from "../logs-kept.js";
import type { Connection } from "../sdk/connection.js";
import { LogSender } from "./log-sender.js";
import { teeOutput } from "./tee-output.js";

/** A line without an end is one after so many characters. */
const longestLine = 1_048_576;

/** The log of this worker, which is being kept. */
export interface KeptLogs {
	/** Keeps an error with its stack. */
	keepError(error: unknown): void;
	/** Leaves stdout and stderr as they were, and waits, for a bounded time, until what was printed is stored. */
	close(): Promise<void>;
}

/** The log of a worker that nobody keeps. */
export const noLogs: KeptLogs = { keepError() {}, close: async () => {} };

let isKept = false;

/**
 * Keeps what this process prints from now on with the server, as the log of a worker of a trial, and the stack of the
 * error that ends the process. Does nothing where the launcher that reads the output keeps it, or where an earlier call
 * in this process still does: nothing says which of several workers in one process has printed a line.
 */
export function keepLogs(
	{ address, channel }: Pick<Connection, "address" | "channel">,
	{ trialId, trialRunId, rank }: { readonly trialId: number; readonly trialRunId: number; readonly rank: number },
): KeptLogs {
	if (isKept || areLogsKept()) {
		return noLogs;
	}
	isKept = true;
	const sender = new LogSender({ address, security: channel.security, trialId, trialRunId, rank });
	const splitters = {
		stdout: createLineSplitter((lines) => sender.send("stdout", lines), longestLine),
		stderr: createLineSplitter((lines) => sender.send("stderr", lines), longestLine),
	};
	const release = teeOutput((name, chunk) => splitters[name].push(chunk));
	const endLines = () => {
		splitters.stdout.end();
		splitters.stderr.end();
	};
	const keepError = (error: unknown) => {
		endLines();
		sender.send("error", inspect(error).split("\n"));
	};
	const onExit = () => {
		endLines();
		sender.wait();
	};
	const onCrash = (error: unknown) => {
		try {
			keepError(error);
			sender.wait();
		} catch {
			// The error that ends the process is the one that counts.
		}
	};
	process.on("exit", onExit);
	process.on("uncaughtExceptionMonitor", onCrash);
	return {
		keepError,
		async close() {
			isKept = false;
			release();
			endLines();
			await sender.close();
			process.off("exit", onExit);
			process.off("uncaughtExceptionMonitor", onCrash);
		},
	};
}
