import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { rootCause, type WorkerFailure } from "../../src/launcher/failure-report.js";

describe("rootCause", () => {
	const failure = (rank: number, fields: Partial<WorkerFailure> = {}): WorkerFailure => ({
		time: new Date(0),
		host: "a",
		rank,
		localRank: rank,
		pid: 1,
		end: { code: 1, signal: null },
		peakBytes: 0,
		isAborted: false,
		isOurDoing: false,
		lastLines: [],
		earlierEnds: [],
		...fields,
	});

	it("is the first that failed by itself, though others that ended with the run were seen before", () => {
		const failures = [failure(0, { isAborted: true }), failure(2, { isOurDoing: true }), failure(1), failure(3)];
		assert.equal(rootCause(failures)?.rank, 1);
	});

	it("is the first of all where the cause is on another node", () => {
		assert.equal(rootCause([failure(2, { isAborted: true }), failure(3, { isOurDoing: true })])?.rank, 2);
		assert.equal(rootCause([]), undefined);
	});
});
