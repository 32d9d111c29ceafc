import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ProgressDisplay } from "../../src/launcher/progress-display.js";
import { StatusLine } from "../../src/launcher/status-line.js";
import { openConnection } from "../../src/sdk/connection.js";
import { startServer } from "../../src/server/index.js";
import { tempDir } from "../support/temp-dir.js";
import { waitUntil } from "../support/wait-until.js";

describe("ProgressDisplay", { timeout: 60_000 }, () => {
	it("shows a run that is stuck, and says when the server goes away and comes back", async () => {
		const dataDirectory = tempDir();
		let server = await startServer({ dataDirectory, port: 0 });
		const { address } = server;
		const connection = openConnection(address);
		await connection.experiments.createExperiment({ requestId: "e", config: { name: "test" } });
		await connection.trials.createTrial({ requestId: "t", experimentId: 1 });
		const lines: string[] = [];
		const times = { lineMs: 0, unchangedLineMs: 0, silenceMs: 0 };
		const status = new StatusLine({ write: () => {} });
		const display = new ProgressDisplay(connection, 1, status, (line) => lines.push(line), times);
		try {
			display.startRun(1);
			await waitUntil("a stuck line", () => lines.some((line) => /: starting, no commit for \d+ s$/.test(line)));
			assert.equal(lines[0], "trial 1 run 1: starting");
			await server.close();
			const isOutage = (line: string) =>
				line.startsWith(`no answer from the server at ${address}; trying again until `);
			await waitUntil("a word about the outage", () => lines.some(isOutage));
			server = await startServer({ dataDirectory, port: Number(address.split(":")[1]) });
			await waitUntil("a word about its end", () => lines.includes(`the server at ${address} answers again`));
			assert.equal(lines.filter(isOutage).length, 1);
		} finally {
			display.close();
			connection.close();
			await server.close();
		}
	});
});
