import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type SeenActivity, workerMessage } from "../../src/sdk/worker-message.js";
import { ago, madeActivity, madeRun, madeWait, madeWorker } from "../support/made-activity.js";

const message = (worker: Parameters<typeof madeWorker>[1], activity: Partial<SeenActivity> = {}) =>
	workerMessage(madeWorker(2, worker), madeActivity(activity));
const inFlight = { first: 640, end: 704 };

describe("workerMessage", () => {
	it("says at which records a worker is, and for how long where that is known", () => {
		assert.equal(message({ inFlight, unchangedSince: ago(41) }), "processing records 640 to 703 for 41 s");
		assert.equal(message({ inFlight, unchangedSince: ago(2) }), "processing records 640 to 703");
		const one = { first: 640, end: 641 };
		assert.equal(
			message({ inFlight: one, loading: true, unchangedSince: ago(200) }),
			"loading record 640 for 3 min 20 s",
		);
	});

	it("says where it waits, whatever it told before", () => {
		const waits = [madeWait([2], [0, 1, 3])];
		assert.equal(message({ inFlight }, { waits }), "waits at the commit of step 10 for 40 s");
	});

	it("says what it does without records", () => {
		assert.equal(message({ unchangedSince: ago(30) }), "between two batches for 30 s");
		assert.equal(message({ step: 0, lastCommitTime: null }), "setting up");
		assert.equal(message({}, { recordsDone: 10_000 }), "finishing");
		assert.equal(message({ finished: true }, { recordsDone: 10_000 }), "finished");
		assert.equal(message({}, { recordsTotal: 0 }), "running");
		assert.equal(message({ toldTime: null, unchangedSince: null }), "running");
	});

	it("says that it is not heard of", () => {
		assert.equal(message({ heardTime: ago(5) }), "silent for 5 s, lost after 15 s");
		assert.equal(message({ heardTime: ago(4.9) }), "between two batches");
		assert.equal(message({ heardTime: ago(0.5) }, { leaseSeconds: 1 }), "silent for 0 s, lost after 1 s");
		assert.equal(message({ connected: false }), "has lost its connection");
		assert.equal(message({ connected: false, heardTime: null }), "has not come back");
	});

	it("says that it has joined while others have not", () => {
		assert.equal(message({ heardTime: ago(9) }, { run: madeRun({ state: "FORMING" }) }), "joined");
	});
});
