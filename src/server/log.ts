import { writeSync } from "node:fs";
import { inspect } from "node:util";
import type { ErrorLog } from "../rpc/status.js";

/** Writes to standard error. Never throws: a server serves also where its log is on a full disk. */
export const logToStandardError: ErrorLog = (message, error) => {
	try {
		// Not console.error: the stream reports a failed write later, as an event that ends the process.
		writeSync(2, `millrace server: ${message}: ${shown(error)}\n`);
	} catch {
		// There is nobody left to tell.
	}
};

function shown(error: unknown): string {
	try {
		return typeof error === "string" ? error : inspect(error);
	} catch {
		return "an error that cannot be shown";
	}
}
