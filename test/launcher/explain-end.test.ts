import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { explainEnd, findOwnEnd, memoryLimit } from "../../src/launcher/explain-end.js";

describe("explainEnd", () => {
	const killed = { code: null, signal: "SIGKILL" } as const;
	const memory = { wasOomKill: false, peakBytes: 100, limitBytes: 1_000 };

	it("blames the memory only where that was short", () => {
		assert.equal(explainEnd(killed, [], memory), "It was killed from outside by SIGKILL.");
		assert.match(explainEnd(killed, [], { ...memory, peakBytes: 900 }) ?? "", /probably for its memory/);
		assert.match(explainEnd(killed, [], { ...memory, wasOomKill: true }) ?? "", /^The kernel killed it/);
		assert.match(explainEnd({ code: 137, signal: null }, [], memory) ?? "", /by SIGKILL\.$/);
	});

	it("repeats why a worker killed itself", () => {
		const reason = "processBatch of step 1, records 15 to 19, took longer than stepTimeout 0.5 s";
		const lines = ["hello", `millrace: rank 3: ${reason}`, "a last word"];
		assert.equal(explainEnd(killed, lines, { ...memory, wasOomKill: true }), `It ended itself: ${reason}.`);
		assert.equal(explainEnd({ code: 1, signal: null }, lines, memory), undefined);
		assert.equal(findOwnEnd(killed, lines)?.isAborted, false);
	});

	it("knows a worker that killed itself because its run was over", () => {
		const reason = "rank 1 was lost, but the code of this worker has not noticed for 10 s";
		assert.deepEqual(findOwnEnd(killed, [`millrace: rank 0: ${reason}; killed`]), { reason, isAborted: true });
	});

	it("leaves other ends to their own words", () => {
		assert.equal(explainEnd({ code: 3, signal: null }, [], memory), undefined);
		assert.ok(memoryLimit() > 2 ** 20 && memoryLimit() < 2 ** 60);
	});
});
