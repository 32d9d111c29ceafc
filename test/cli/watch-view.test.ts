import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { TextStyle } from "../../src/cli/terminal.js";
import { watchView } from "../../src/cli/watch-view.js";
import { withMessages } from "../../src/sdk/trial-activity.js";
import type { SeenActivity } from "../../src/sdk/worker-message.js";
import { ago, madeActivity, madeRun, madeWait, madeWorker } from "../support/made-activity.js";

interface Screen {
	readonly columns?: number;
	readonly rows?: number;
	readonly isUnicode?: boolean;
	readonly style?: (style: TextStyle, text: string) => string;
	readonly silentMs?: number;
}

const plain = (_style: TextStyle, text: string) => text;

function view(activity: Partial<SeenActivity>, screen: Screen = {}): string {
	const { columns = 80, rows = 24, isUnicode = true, style = plain, silentMs } = screen;
	const terminal = { isInteractive: true, columns, rows, isUnicode, style };
	return `\n${watchView(withMessages(madeActivity(activity)), terminal, silentMs).join("\n")}\n`;
}

/** Rank 2 is at its records for 41 s; the others wait at the commit. */
const slow: Partial<SeenActivity> = {
	recordsFailed: 12,
	workers: [0, 1, 2, 3].map((rank) =>
		rank === 2
			? madeWorker(2, { inFlight: { first: 640, end: 704 }, unchangedSince: ago(41), recordsDone: 576 })
			: madeWorker(rank),
	),
	waits: [madeWait([0, 1, 3], [2])],
};

describe("watchView", () => {
	it("shows progress, who is waited for, and all workers at 80 columns", () => {
		assert.equal(
			view(slow),
			`
trial 5 of experiment 3 (doubler), run 2: RUNNING for 3 min 20 s, 4 workers,
restart 1 of 5
[██░░░░] 4,108 / 10,000 records (40 %, 12 failed), 62 records/s, 1 min 36 s left

rank 2 on gpu-box has been processing records 640 to 703 for 41 s; ranks 0, 1
and 3 wait for it at the commit of step 10

RANK  HOST     RECORDS  PER S    COMMIT  NOW                              FOR
   0  desk         640     16  41 s ago  waits at the commit of step 10  40 s
   1  desk         640     16  41 s ago  waits at the commit of step 10  40 s
   2  gpu-box      576     16  41 s ago  processing records 640 to 703   41 s
   3  gpu-box      640     16  41 s ago  waits at the commit of step 10  40 s
`,
		);
	});

	it("shows more of each worker at 200 columns", () => {
		assert.equal(
			view(slow, { columns: 200 }),
			`
trial 5 of experiment 3 (doubler), run 2: RUNNING for 3 min 20 s, 4 workers, restart 1 of 5
[██████████░░░░░░░░░░░░░░] 4,108 / 10,000 records (40 %, 12 failed), 62 records/s, 1 min 36 s left

rank 2 on gpu-box has been processing records 640 to 703 for 41 s; ranks 0, 1 and 3 wait for it at the commit of step 10

RANK  HOST     NODE  LOCAL RANK   PID  STEP  RECORDS  PER S    COMMIT  NOW                              FOR
   0  desk        0           0  4000    10      640     16  41 s ago  waits at the commit of step 10  40 s
   1  desk        0           1  4001    10      640     16  41 s ago  waits at the commit of step 10  40 s
   2  gpu-box     1           0  4002    10      576     16  41 s ago  processing records 640 to 703   41 s
   3  gpu-box     1           1  4003    10      640     16  41 s ago  waits at the commit of step 10  40 s
`,
		);
	});

	it("cuts what may be cut where the terminal is narrow, and shows a bar only where it has room", () => {
		const one = {
			workers: [madeWorker(0, { host: "a-host-with-a-long-name.example" })],
			run: madeRun({ worldSize: 1 }),
		};
		assert.equal(
			view({ ...one, restarts: 0 }, { columns: 60 }),
			`
trial 5 of experiment 3 (doubler), run 2: RUNNING for 3 min
20 s, 1 worker
4,096 / 10,000 records (40 %), 62 records/s, 1 min 36 s left

its worker is running

RANK  HOST        RECORDS  PER S    COMMIT  NOW         FOR
   0  a-host-wi…      640     16  41 s ago  between t…
`,
		);
	});

	it("draws with ASCII where the terminal has no more", () => {
		const text = view({ ...slow, workers: [], experimentName: "x".repeat(90) }, { isUnicode: false });
		assert.match(text, /^\[##----\] 4,108/m);
		assert.match(text, /^\(x{70,}\.\.\.$/m);
	});

	it("shows those who are in the way where the terminal is too low for all", () => {
		const workers = Array.from({ length: 500 }, (_, rank) =>
			rank % 100 === 7
				? madeWorker(rank, {
						inFlight: { first: rank, end: rank + 1 },
						unchangedSince: ago(40 + rank / 100),
						host: "h",
					})
				: madeWorker(rank, { host: "h" }),
		);
		workers[499] = madeWorker(499, { heardTime: ago(9), host: "h" });
		const missing = [7, 107, 207, 307, 407, 499];
		const waiting = workers.map(({ rank }) => rank).filter((rank) => !missing.includes(rank));
		const activity = {
			workers,
			run: madeRun({ worldSize: 500 }),
			waits: [madeWait(waiting, missing)],
		};
		assert.equal(
			view(activity, { rows: 15 }),
			`
trial 5 of experiment 3 (doubler), run 2: RUNNING for 3 min 20 s, 500 workers,
restart 1 of 5
[███████░░░░░░░░░░] 4,096 / 10,000 records (40 %), 62 records/s, 1 min 36 s left

rank 499 on h has been silent for 9 s, and is lost after 15 s; rank 407 on h has
been processing record 407 for 44 s; ranks 7, 107, 207 and 307 are still at work
too; ranks 0 to 6, 8 to 106, 108 to 206, 208 to 306, 308 to 406 and 408 to 498
wait for them at the commit of step 10

RANK  HOST  RECORDS  PER S    COMMIT  NOW                     FOR
 307  h         640     16  41 s ago  processing record 307  43 s
 407  h         640     16  41 s ago  processing record 407  44 s
 499  h         640     16  41 s ago  silent                  9 s
and 497 more workers
`,
		);
		assert.equal(view(activity, { rows: 5 }).split("\n").at(-3), " 499  h         640     16  41 s ago  silent  9 s");
	});

	it("shows a run of a program with a loop of its own, by what it says of itself", () => {
		const workers = [0, 1].map((rank) =>
			madeWorker(rank, {
				...{ step: 0, recordsDone: 0, lastCommitStep: 0, lastCommitTime: null, recordsPerSecond: null },
				unchangedSince: ago(90),
			}),
		);
		const core = { recordsDone: 0, recordsTotal: 0, recordsPerSecond: null, secondsLeft: null, restarts: 0 };
		assert.equal(
			view({ ...core, progress: 0.25, status: "epoch 3\n\x1b[2J", workers, run: madeRun({ worldSize: 2 }) }),
			`
trial 5 of experiment 3 (doubler), run 2: RUNNING for 3 min 20 s, 2 workers
[██████░░░░░░░░░░░░░░░░░░] 25 %
status: epoch 3 \\x1b[2J

its 2 workers are running

RANK  HOST  RECORDS  PER S  COMMIT  NOW      FOR
   0  desk        0                 running
   1  desk        0                 running
`,
		);
	});

	it("shows why nothing happens where no run is open", () => {
		const idle = { workers: [], recordsPerSecond: null, secondsLeft: null };
		assert.equal(
			view({ ...idle, state: "PAUSED", run: madeRun({ state: "PREEMPTED", endTime: ago(9) }), restarts: 0 }),
			`
trial 5 of experiment 3 (doubler): PAUSED
[██████████░░░░░░░░░░░░░░] 4,096 / 10,000 records (40 %)

the trial is paused; \`millrace run CONFIG --trial 5\` goes on with it
`,
		);
		assert.equal(
			view({ ...idle, run: null, restarts: 0, recordsDone: 0, recordsTotal: 0, progress: 0 }),
			`
trial 5 of experiment 3 (doubler): ACTIVE

the trial waits for workers; \`millrace run CONFIG --trial 5\` starts them
`,
		);
	});

	it("says for how long the server has not answered", () => {
		assert.match(view({}, { silentMs: 12_345 }), /^no answer from the server for 12 s$/m);
		assert.doesNotMatch(view({}), /no answer/);
	});

	it("marks who is silent, and who waits", () => {
		const workers = [madeWorker(0), madeWorker(1, { heardTime: ago(9) })];
		const style = (name: TextStyle, text: string) => `<${name}>${text}</>`;
		const text = view({ workers, run: madeRun({ worldSize: 2 }), waits: [madeWait([0], [1])] }, { style });
		assert.match(text, /<bold>trial 5 .*<\/>\n/);
		assert.match(text, /<dim>waits at the commit of step 10<\/>/);
		assert.match(text, /<red>silent<\/>/);
	});
});
