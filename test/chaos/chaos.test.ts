import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it } from "node:test";
import { tempDir } from "../support/temp-dir.js";
import { planRound } from "./plan-round.js";
import { playRound } from "./round.js";

/** `npm run chaos` plays more of them; these have something of each kind. */
const seed = "every test";
const rounds = [3, 5, 15, 23];
const limitMs = 120_000;

describe("a trial whose workers, launchers, server and network fail", { timeout: 500_000 }, () => {
	for (const round of rounds) {
		it(`is what it is undisturbed, in round ${round} of the seed "${seed}"`, async () => {
			const plan = planRound(seed, round);
			const { problems } = await playRound(plan, join(tempDir(), "round"), limitMs);
			assert.deepEqual(problems, [], JSON.stringify(plan));
		});
	}

	it("is planned the same again by the same seed", () => {
		assert.deepEqual(planRound("a", 1), planRound("a", 1));
		assert.notDeepEqual(planRound("a", 1), planRound("a", 2));
	});
});
