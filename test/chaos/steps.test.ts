import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { stepNames } from "../../src/steps.js";
import { tempDir } from "../support/temp-dir.js";
import { playRound } from "./round.js";
import { planSteps, undisturbed } from "./step-plans.js";

const limitMs = 90_000;

describe("the steps of a commit and of the end", { timeout: 600_000, concurrency: 3 }, () => {
	it("are all published, and no others, where nothing disturbs a trial", async () => {
		const directory = join(tempDir(), "round");
		const { problems } = await playRound(undisturbed, directory, limitMs);
		assert.deepEqual(problems, []);
		const published = new Set(readFileSync(join(directory, "steps.txt"), "utf8").trimEnd().split("\n"));
		const named = Object.entries(stepNames).flatMap(([where, names]) => names.map((name) => `${where} ${name}`));
		assert.deepEqual([...published].sort(), named.sort());
	});

	for (const plan of planSteps()) {
		it(`lose nothing: ${plan.name}`, async () => {
			const { problems, happened } = await playRound(plan, join(tempDir(), "round"), limitMs);
			assert.deepEqual(problems, []);
			assert.equal(happened.length, 1);
		});
	}
});
