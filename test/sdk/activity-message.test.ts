import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { activityMessage } from "../../src/sdk/activity-message.js";
import type { TrialRun } from "../../src/sdk/trial-activity.js";
import type { SeenActivity } from "../../src/sdk/worker-message.js";
import { ago, madeActivity, madeRun, madeWait, madeWorker } from "../support/made-activity.js";

const message = (activity: Partial<SeenActivity>) => activityMessage(madeActivity(activity));
const workers = (...changed: ReturnType<typeof madeWorker>[]) =>
	[0, 1, 2, 3].map((rank) => changed.find((worker) => worker.rank === rank) ?? madeWorker(rank));
const records = { first: 640, end: 704 };

describe("activityMessage", () => {
	it("says who is at records that others wait for at a commit", () => {
		const slow = madeWorker(2, { inFlight: records, unchangedSince: ago(41) });
		assert.equal(
			message({ workers: workers(slow), waits: [madeWait([0, 1, 3], [2])] }),
			"rank 2 on gpu-box has been processing records 640 to 703 for 41 s; ranks 0, 1 and 3 wait for it at the commit of step 10",
		);
		assert.equal(
			message({
				workers: workers({ ...slow, host: "", loading: true, inFlight: { first: 640, end: 641 } }),
				waits: [madeWait([1], [2])],
			}),
			"rank 2 has been loading record 640 for 41 s; rank 1 waits for it at the commit of step 10",
		);
	});

	it("says no more of how long it has been at them than is known", () => {
		const waits = [madeWait([0, 1, 3], [2], { since: ago(12) })];
		const at = (worker: Parameters<typeof madeWorker>[1]) =>
			message({ workers: workers(madeWorker(2, worker)), waits });
		const waiting = "ranks 0, 1 and 3 have waited for it for 12 s at the commit of step 10";
		assert.equal(
			at({ inFlight: records, unchangedSince: ago(1.2) }),
			`rank 2 on gpu-box was processing records 640 to 703 a moment ago; ${waiting}`,
		);
		// Since it told that, it has committed, which has these records.
		const committed = { inFlight: records, unchangedSince: ago(41), lastCommitTime: ago(0.5) };
		assert.equal(at(committed), `rank 2 on gpu-box is still at work; ${waiting}`);
		assert.equal(at({ toldTime: null, unchangedSince: null }), `rank 2 on gpu-box is still at work; ${waiting}`);
		assert.equal(at({}), `rank 2 on gpu-box is between two batches; ${waiting}`);
	});

	it("says that a worker sets up, stores what it did, or finishes", () => {
		const waits = [madeWait([0], [1], { operation: "broadcast" })];
		const idle = { unchangedSince: ago(30) };
		assert.equal(
			message({
				workers: workers(madeWorker(1, { ...idle, step: 0, lastCommitStep: 0, lastCommitTime: null })),
				waits,
			}),
			"rank 1 on desk has been setting up for 30 s; rank 0 waits for it in a broadcast of the runtime",
		);
		assert.equal(
			message({ workers: workers(madeWorker(1, idle)), waits }),
			"rank 1 on desk has been between two batches for 30 s; rank 0 waits for it in a broadcast of the runtime",
		);
		assert.equal(
			message({
				recordsDone: 9_990,
				recordsFailed: 10,
				workers: workers(madeWorker(1, idle)),
				waits: [madeWait([0, 2, 3], [1], { operation: "finish" })],
			}),
			"rank 1 on desk has been finishing for 30 s; ranks 0, 2 and 3 wait for it at the end of the run",
		);
	});

	it("names the operations of the user's code, and of one node", () => {
		const at = (wait: Parameters<typeof madeWait>[2]) =>
			message({ waits: [madeWait([2], [3], wait)], recordsTotal: 0 });
		const start = "rank 3 on gpu-box is still at work; rank 2 has waited for it for 40 s";
		assert.equal(at({ caller: "user", operation: "allgather" }), `${start} in an allgather of the user's code`);
		assert.equal(at({ caller: "user", operation: "gather" }), `${start} in a gather of the user's code`);
		assert.equal(
			at({ caller: "user", operation: "broadcast", scope: "node", nodeRank: 1 }),
			`${start} in a broadcast of the user's code on node 1`,
		);
	});

	it("finds who is at the bottom of it, where those who are waited for wait themselves", () => {
		const slow = madeWorker(3, { inFlight: records, unchangedSince: ago(41) });
		const waits = [
			madeWait([0, 1], [2, 3]),
			madeWait([2], [3], { caller: "user", operation: "gather", scope: "node", nodeRank: 1 }),
		];
		assert.equal(
			message({ workers: workers(slow), waits }),
			"rank 3 on gpu-box has been processing records 640 to 703 for 41 s; ranks 0 and 1 wait for it at the commit of " +
				"step 10; rank 2 waits for it in a gather of the user's code on node 1",
		);
		const all = [madeWait([0, 1], [2, 3]), madeWait([2, 3], [0, 1], { caller: "user", operation: "gather" })];
		assert.equal(
			message({ waits: all }),
			"all workers wait for each other: ranks 0 and 1 at the commit of step 10 and ranks 2 and 3 in a gather of the user's code",
		);
		assert.equal(
			message({ waits: [madeWait([0, 1, 2, 3], [])] }),
			"the server records what all have told: ranks 0 to 3 at the commit of step 10",
		);
	});

	it("describes those who are in the way the longest, and counts the others", () => {
		const many = Array.from({ length: 64 }, (_, rank) =>
			madeWorker(rank, { inFlight: { first: rank, end: rank + 1 }, unchangedSince: ago(10 + rank) }),
		);
		const missing = many.map(({ rank }) => rank).filter((rank) => rank !== 7);
		assert.equal(
			message({ run: madeRun({ worldSize: 64 }), workers: many, waits: [madeWait([7], missing)] }),
			"rank 63 on gpu-box has been processing record 63 for 1 min 13 s; rank 62 on gpu-box has been processing record 62 for " +
				"1 min 12 s; ranks 0 to 6 and 8 to 61 are still at work too; rank 7 waits for them at the commit of step 10",
		);
	});

	it("says that a worker is silent or cut off before it is lost, whether or not others wait for it", () => {
		const frozen = madeWorker(2, { heardTime: ago(8), toldTime: ago(8), inFlight: records, unchangedSince: ago(8.5) });
		const silent = "rank 2 on gpu-box has been silent for 8 s, and is lost after 15 s";
		assert.equal(message({ workers: workers(frozen) }), silent);
		assert.equal(
			message({ workers: workers(frozen), waits: [madeWait([0, 1, 3], [2], { since: ago(1) })] }),
			`${silent}; ranks 0, 1 and 3 wait for it at the commit of step 10`,
		);
		assert.equal(
			message({ workers: workers(madeWorker(1, { connected: false })) }),
			"rank 1 on desk has lost its connection",
		);
		// It waits, but not for itself.
		assert.equal(
			message({
				workers: workers(
					madeWorker(0, { heardTime: ago(6) }),
					madeWorker(2, { inFlight: records, unchangedSince: ago(41) }),
				),
				waits: [madeWait([0, 1, 3], [2])],
			}),
			"rank 2 on gpu-box has been processing records 640 to 703 for 41 s; ranks 0, 1 and 3 wait for it at the commit of step " +
				"10; rank 0 on desk has been silent for 6 s, and is lost after 15 s",
		);
	});

	it("says nothing of a wait that has only begun", () => {
		const waits = [madeWait([0, 1, 3], [2], { since: ago(1) })];
		assert.equal(message({ waits }), "its 4 workers are running");
		assert.equal(message({ waits: [] }), "its 4 workers are running");
		assert.equal(message({ run: madeRun({ worldSize: 1 }), workers: [madeWorker(0)] }), "its worker is running");
	});

	it("says who is slow to load, though nobody waits for it", () => {
		const loading = (rank: number, seconds: number) =>
			madeWorker(rank, { inFlight: records, loading: true, unchangedSince: ago(seconds) });
		const one = "rank 2 on gpu-box has been loading records 640 to 703 for 41 s";
		assert.equal(message({ workers: workers(loading(2, 41)) }), one);
		assert.equal(
			message({ workers: workers(loading(0, 9), loading(2, 41)) }),
			`${one}, and 1 other waits for records too`,
		);
		assert.equal(
			message({ workers: workers(loading(0, 9), loading(1, 9), loading(2, 41)) }),
			`${one}, and 2 others wait for records too`,
		);
		assert.equal(message({ workers: workers(loading(2, 1.5)) }), "its 4 workers are running");
	});

	it("says that workers set up, and that they finish", () => {
		const fresh = [0, 1, 2, 3].map((rank) =>
			madeWorker(rank, { step: 0, lastCommitStep: 0, lastCommitTime: null, recordsDone: 0 }),
		);
		assert.equal(message({ workers: fresh }), "its 4 workers are setting up");
		// One without records to process tells nothing of its steps.
		assert.equal(message({ workers: fresh, recordsTotal: 0 }), "its 4 workers are running");
		const done = { recordsDone: 10_000 };
		assert.equal(message(done), "all records are processed, and its 4 workers are finishing");
		assert.equal(
			message({ ...done, workers: workers(madeWorker(1, { finished: true })) }),
			"all records are processed, and 1 of 4 workers has finished",
		);
	});

	it("says that a run was asked to stop", () => {
		const running = "its 4 workers are running";
		assert.equal(message({ pauseRequested: true }), `${running}; the trial is to pause, at its next commit`);
		assert.equal(
			message({ cancelRequested: true, pauseRequested: true }),
			`${running}; the trial is to be canceled, at its next commit`,
		);
		assert.equal(
			message({ run: madeRun({ preemptRequested: true }) }),
			`${running}; the run is to stop, at its next commit`,
		);
	});

	it("says who has not joined, or not come back to a server that was started again", () => {
		const forming = { run: madeRun({ state: "FORMING" }) };
		const joinDeadline = ago(-272);
		assert.equal(message({ ...forming, workers: [] }), "run 2 waits for its 4 workers");
		assert.equal(
			message({ ...forming, workers: [madeWorker(0), madeWorker(2)], joinDeadline }),
			"2 of 4 workers have joined run 2, which waits for ranks 1 and 3, for at most 4 min 32 s",
		);
		assert.equal(message(forming), "run 2 starts");
		const away = [0, 1, 2, 3].map((rank) => madeWorker(rank, { connected: false, heardTime: null }));
		assert.equal(message({ workers: away }), "the server waits for ranks 0 to 3 of 4 to come back to it");
		assert.equal(
			message({ workers: [...away.slice(0, 2), madeWorker(2), madeWorker(3)], joinDeadline: ago(-12) }),
			"the server waits for ranks 0 and 1 of 4 to come back to it, for at most 12 s",
		);
		assert.equal(
			message({ run: madeRun({ worldSize: 0 }), workers: [] }),
			"run 2 is that of a script, which has no workers",
		);
	});

	it("says why nothing happens where no run is open, and what to do", () => {
		const go = "`millrace run CONFIG --trial 5`";
		const closed = (state: SeenActivity["state"], run: Partial<TrialRun> | null, more: Partial<SeenActivity> = {}) =>
			message({ state, run: run === null ? null : madeRun({ endTime: ago(3), ...run }), workers: [], ...more });
		const failed = { state: "FAILED", reason: "rank 2 on gpu-box is lost" } as const;
		assert.equal(closed("ACTIVE", null), `the trial waits for workers; ${go} starts them`);
		assert.equal(
			closed("ACTIVE", failed),
			`run 2 failed: rank 2 on gpu-box is lost; the trial waits for its next run, which ${go} starts`,
		);
		assert.equal(
			closed("ACTIVE", { state: "PREEMPTED", reason: "SIGTERM came" }),
			`run 2 was preempted: SIGTERM came; ${go} goes on`,
		);
		assert.equal(closed("ACTIVE", { state: "COMPLETED" }), `records that failed are to be processed again, by ${go}`);
		assert.equal(closed("PAUSED", { state: "PREEMPTED" }), `the trial is paused; ${go} goes on with it`);
		assert.equal(closed("COMPLETED", { state: "COMPLETED" }), "the trial is completed");
		assert.equal(
			closed("COMPLETED", { state: "COMPLETED" }, { recordsFailed: 1 }),
			"the trial is completed; 1 record failed and was skipped: see `millrace trial errors 5`",
		);
		assert.equal(
			closed("CANCELED", { state: "KILLED", reason: "a user killed the trial" }),
			"the trial was killed: a user killed the trial",
		);
		assert.equal(closed("CANCELED", null), "the trial was canceled");
		assert.equal(closed("CANCELED", failed), "the trial was canceled; its last run failed: rank 2 on gpu-box is lost");
		assert.equal(closed("ERROR", failed), "the trial has failed: rank 2 on gpu-box is lost");
	});
});
