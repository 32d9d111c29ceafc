import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import { parseExperimentConfig } from "../../src/experiment-config.js";
import { sayAwaitedOwner } from "../../src/launcher/awaited-owner.js";
import { createTrial } from "../../src/launcher/open-trial.js";
import { openConnection } from "../../src/sdk/connection.js";
import { startTestServer } from "../support/start-test-server.js";

describe("sayAwaitedOwner", { timeout: 60_000 }, () => {
	it("names the owner of the open run, but not where the start takes less than a second", async () => {
		const server = await startTestServer();
		const connection = openConnection(server.address);
		const { config } = parseExperimentConfig({ name: "x" });
		const { id: trialId } = await createTrial(connection, config);
		const owner = { ownerHost: "there", ownerUuid: randomUUID(), ownerPid: 7 };
		await connection.trials.startTrialRun({ requestId: randomUUID(), trialId, worldSize: 1, ...owner });
		const said: string[] = [];
		const say = (line: string) => void said.push(line);
		await sayAwaitedOwner(connection, trialId, say, AbortSignal.timeout(100));
		assert.deepEqual(said, []);
		await sayAwaitedOwner(connection, trialId, say, AbortSignal.timeout(30_000));
		connection.close();
		assert.match(said.join(), /^waiting until the last owner of trial 1 \(process 7 on there\) is gone, /);
	});
});
