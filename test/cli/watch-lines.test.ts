import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { WatchLines } from "../../src/cli/watch-lines.js";
import { withMessages } from "../../src/sdk/trial-activity.js";
import type { SeenActivity } from "../../src/sdk/worker-message.js";
import { keptTerminal } from "../support/kept-terminal.js";
import { ago, madeActivity, madeRun, madeWait, madeWorker } from "../support/made-activity.js";

/** A display in a file, whose clock stands still until it is moved. */
function startLines(interval?: number) {
	let now = 0;
	const { terminal, stdout } = keptTerminal({ now: () => now });
	const lines = new WatchLines(terminal, interval);
	after(() => lines.close());
	return {
		/** Shows an activity, so many seconds after the last one. */
		show: async (seconds: number, activity: Partial<SeenActivity>, isLast = false) => {
			now += seconds * 1_000;
			await lines.show(withMessages(madeActivity(activity)), isLast);
		},
		text: () => `\n${stdout()}`,
	};
}

const slow: Partial<SeenActivity> = {
	workers: [0, 1, 2, 3].map((rank) =>
		madeWorker(rank, rank === 2 ? { inFlight: { first: 640, end: 704 }, unchangedSince: ago(41) } : {}),
	),
	waits: [madeWait([0, 1, 3], [2])],
};

describe("WatchLines", () => {
	it("writes a line every five seconds, and at once where a state has changed, without cutting it", async () => {
		const { show, text } = startLines();
		const nobody = { workers: [], recordsPerSecond: null, secondsLeft: null };
		await show(0, { ...nobody, run: madeRun({ state: "FORMING" }), recordsTotal: 0, recordsDone: 0, progress: 0 });
		await show(1, {});
		for (let i = 1; i <= 6; i++) {
			await show(1, { ...slow, recordsDone: 4_096 + i, recordsFailed: 12 });
		}
		await show(1, { ...nobody, state: "PAUSED", run: madeRun({ state: "PREEMPTED" }) });
		await show(
			1,
			{ ...nobody, state: "COMPLETED", run: madeRun({ state: "COMPLETED" }), recordsDone: 10_000, progress: 1 },
			true,
		);
		assert.equal(
			text(),
			`
trial 5 run 2: run 2 waits for its 4 workers
trial 5 run 2: 4,096 / 10,000 records (40 %), 62 records/s, 1 min 36 s left; its 4 workers are running
trial 5 run 2: 4,113 / 10,000 records (40 %, 12 failed), 62 records/s, 1 min 36 s left; rank 2 on gpu-box has been processing records 640 to 703 for 41 s; ranks 0, 1 and 3 wait for it at the commit of step 10
trial 5 PAUSED: 4,096 / 10,000 records (40 %); the trial is paused; \`millrace run CONFIG --trial 5\` goes on with it
trial 5 COMPLETED: 10,000 / 10,000 records (100 %); the trial is completed
`,
		);
	});

	it("writes one that has not changed once a minute", async () => {
		const { show, text } = startLines();
		for (let i = 0; i < 121; i++) {
			await show(1, {});
		}
		assert.equal(text().trim().split("\n").length, 3);
	});

	it("writes as often as it is told", async () => {
		const { show, text } = startLines(0.5);
		for (let i = 0; i < 4; i++) {
			await show(0.25, { recordsDone: i });
		}
		assert.deepEqual(
			[...text().matchAll(/(\d+) \/ 10,000/g)].map((match) => match[1]),
			["0", "2"],
		);
	});

	it("shows a program with a loop of its own by what it says of itself", async () => {
		const { show, text } = startLines();
		const core = { recordsDone: 0, recordsTotal: 0, recordsPerSecond: null, secondsLeft: null };
		await show(0, { ...core, progress: 0.25, status: "epoch 3" });
		assert.equal(text(), "\ntrial 5 run 2: 25 %, epoch 3; its 4 workers are running\n");
	});
});
