import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it } from "node:test";
import { tempDir } from "../support/temp-dir.js";
import { Random } from "./random.js";
import { playRound } from "./round.js";
import type { FaultPlan, LegKind, RoundPlan } from "./round-plan.js";
import { undisturbed } from "./step-plans.js";

const records = 2_000;
const checkpointInterval = 1;
const limitMs = 90_000;

describe("a trial that goes on with other workers", { timeout: 600_000 }, () => {
	// Rows: the number of workers and the batch size of each start.
	const table: [worlds: readonly number[], batchSizes: readonly number[]][] = [
		[
			[1, 2],
			[64, 50],
		],
		[
			[2, 1],
			[64, 50],
		],
		[
			[4, 3, 7],
			[64, 50, 64],
		],
	];
	for (const kind of ["pause", "worker-kill"] as const) {
		for (const [worlds, batchSizes] of table) {
			const title = `${worlds.join(" → ")} workers, batches of ${batchSizes.join(" → ")}, stopped by ${kind}`;
			it(`ends as if it had never stopped: ${title}`, async () => {
				const plan = planStops(title, kind, worlds, batchSizes);
				const { problems, happened, legs } = await playRound(plan, join(tempDir(), "round"), limitMs);
				assert.deepEqual(problems, []);
				assert.equal(happened.length, worlds.length - 1);
				assert.equal(legs, worlds.length);
			});
		}
	}
});

/** Stops all legs but the last at a commit somewhere in what is left. */
function planStops(
	name: string,
	kind: "pause" | "worker-kill",
	worlds: readonly number[],
	batchSizes: readonly number[],
): RoundPlan {
	const random = new Random(name);
	const legs = worlds.map((workers, leg) => {
		const options = [{ batchSize: batchSizes[leg] ?? 1, checkpointInterval }];
		return { kind: (kind === "pause" ? "launch" : "bare") as LegKind, workers, options };
	});
	const faults = worlds.slice(1).map((_, stop): FaultPlan => {
		// The stops are spread over the first two thirds, so that each leg has something to do.
		const progress = ((stop + random.next()) / (worlds.length - 1)) * 0.6;
		return { kind, rank: random.integer(0, 3), step: "commit.begin", occurrence: 1, progress, ms: 0 };
	});
	const data = { ...undisturbed.data, records };
	return { ...undisturbed, name, data, writes: "commit", usesModel: true, legs, faults };
}
