import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it } from "node:test";
import { tempDir } from "../support/temp-dir.js";
import { playRound } from "./round.js";
import type { FaultPlan, RoundPlan } from "./round-plan.js";
import { undisturbed } from "./step-plans.js";

const kills = 20;

describe("a server that is killed and started again 20 times during one run", { timeout: 300_000 }, () => {
	it("ends the run normally, with nothing lost or doubled", async () => {
		const faults = Array.from({ length: kills }, (_, index): FaultPlan => {
			const step = index % 2 === 0 ? "batch" : "barrier.enter";
			return { kind: "server-kill", rank: index, step, occurrence: 1, progress: index / (kills + 1), ms: 0 };
		});
		const plan: RoundPlan = {
			...undisturbed,
			name: `${kills} restarts`,
			data: { ...undisturbed.data, records: 4_000 },
			gathers: true,
			legs: [{ kind: "bare", workers: 4, options: [{ batchSize: 10, checkpointInterval: 2 }] }],
			faults,
		};
		const { problems, happened, legs } = await playRound(plan, join(tempDir(), "round"), 250_000);
		assert.deepEqual(problems, []);
		assert.equal(happened.length, kills);
		// One run: nobody had to start the workers again.
		assert.equal(legs, 1);
	});
});
