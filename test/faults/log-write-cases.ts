import { randomUUID } from "node:crypto";
import { startTrial } from "../server/start-trial.js";
import type { WriteCase } from "./write-cases.js";

/** The writes of LogService. */
export const logWriteCases: Readonly<Record<string, WriteCase>> = {
	"LogService.WriteLogs": async (server, wire) => {
		const trialId = await startTrial(server);
		const call = { clientId: randomUUID(), sequence: 1n, trialId, entries: [{ rank: 0, text: "loading" }], last: true };
		return () => wire.logs.writeLogs(call);
	},
};
