import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { formatFailure, rootCause, type WorkerFailure } from "../../src/launcher/failure-report.js";

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

describe("rootCause", () => {
	it("is the first that failed by itself, though others that ended with the run were seen before", () => {
		const failures = [failure(0, { isAborted: true }), failure(2, { isOurDoing: true }), failure(1), failure(3)];
		assert.equal(rootCause(failures)?.rank, 1);
	});

	it("is the first of all where the cause is on another node", () => {
		assert.equal(rootCause([failure(2, { isAborted: true }), failure(3, { isOurDoing: true })])?.rank, 2);
		assert.equal(rootCause([]), undefined);
	});
});

describe("formatFailure", () => {
	const early = { time: new Date(0), rank: 1, code: 0 };
	const earlyLine = "  rank 1 exited with code 0 at 1970-01-01T00:00:00.000Z, before the run was done";

	it("puts a worker that exited 0 too early above the one that ended for it", () => {
		const text = formatFailure(["x"], failure(0, { isAborted: true, earlierEnds: [early] }));
		assert.ok(text.includes(`\nRoot cause:\n${earlyLine}\nFirst failure seen:\n  time `), text);
		assert.doesNotMatch(text, /another process/);
	});

	it("does not call a worker the cause that ended because the run had", () => {
		const text = formatFailure(["x"], failure(0, { isAborted: true }));
		assert.match(text, /\nFirst failure seen:\n[\s\S]*another process, maybe on another host, is the cause/);
		assert.doesNotMatch(text, /Root cause/);
	});

	it("names one that failed by itself as the cause, whoever ended well before", () => {
		const text = formatFailure(["x"], failure(0, { earlierEnds: [early] }));
		assert.match(text, /\nRoot cause \(first observed failure\):\n/);
		assert.ok(text.includes(earlyLine), text);
	});
});
