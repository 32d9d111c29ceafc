import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ExperimentState } from "../../src/sdk/index.js";
import { waitForEnd } from "../../src/sdk/wait-for-experiment.js";

/** Waits with a clock that stands still but for the waiting, and answers with each state for as long as it is said. */
async function wait(states: readonly [ExperimentState, seconds: number][], intervalMs: number) {
	let now = 0;
	const asked: number[] = [];
	const said: string[] = [];
	const clock = {
		now: () => now,
		delay: async (ms: number) => {
			now += ms;
		},
		say: (line: string) => void said.push(line),
	};
	const reload = async () => {
		asked.push(now);
		let end = 0;
		return states.find(([, seconds]) => {
			end += seconds * 1_000;
			return now < end;
		})?.[0] as ExperimentState;
	};
	return { state: await waitForEnd(3, reload, intervalMs, clock), asked, said };
}

describe("waitForEnd", () => {
	it("asks once in each interval, and says nothing of an experiment that runs", async () => {
		const states: [ExperimentState, number][] = [
			["ACTIVE", 600],
			["COMPLETED", 1],
		];
		const { state, asked, said } = await wait(states, 300_000);
		assert.deepEqual([state, asked, said], ["COMPLETED", [0, 300_000, 600_000], []]);
	});

	it("says once a minute that it waits for one that is paused", async () => {
		const states: [ExperimentState, number][] = [
			["ACTIVE", 30],
			["PAUSED", 130],
			["ACTIVE", 60],
			["PAUSED", 50],
			["CANCELED", 5],
		];
		const { state, said } = await wait(states, 5_000);
		assert.equal(state, "CANCELED");
		assert.deepEqual(said, [
			"millrace: waiting for experiment 3, which is paused; elapsed: 1 min",
			"millrace: waiting for experiment 3, which is paused; elapsed: 2 min",
		]);
	});
});
