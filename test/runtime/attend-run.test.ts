import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it, mock } from "node:test";
import { startMemberThread } from "../../src/rendezvous/thread-member.js";
import { attendRun } from "../../src/runtime/attend-run.js";
import { useTestClient } from "../support/use-test-client.js";
import { waitUntil } from "../support/wait-until.js";

describe("attendRun", { timeout: 30_000 }, () => {
	const test = useTestClient();

	const place = (trialId: number, rank: number, worldSize: number) => ({
		trialId,
		memberUuid: randomUUID(),
		rank,
		worldSize,
		localRank: rank,
		localWorldSize: worldSize,
		host: "here",
		pid: process.pid,
	});
	const newTrial = async () => {
		const experiment = await test.client.createExperiment({ name: "test", entrypoint: "test" });
		return (await test.client.createTrial(experiment.id)).id;
	};

	it("says that it waits while another rank is missing, and not that it does when all are there", async (t) => {
		const lines: unknown[] = [];
		const log = mock.method(console, "error", (line: unknown) => lines.push(line));
		t.after(() => log.mock.restore());
		const trialId = await newTrial();
		const first = attendRun(startMemberThread(), test.connection.channel, place(trialId, 1, 2), { noticeMs: 300 });
		await waitUntil("the notice", () => lines.length > 0);
		const second = await attendRun(startMemberThread(), test.connection.channel, place(trialId, 0, 2));
		for (const attendance of [await first, second]) {
			assert.ok(attendance.kind === "member");
			attendance.member.close();
		}
		assert.deepEqual(lines, [`millrace: rank 1 of 2 has joined run 1 of trial ${trialId} and waits for the others`]);
	});
});
