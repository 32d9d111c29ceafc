import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { OpenCalls } from "../../../src/rpc/limits/open-calls.js";
import { pushbackOf } from "../../../src/rpc/pushback.js";
import { errorWith } from "../../support/error-with.js";

const limits = { calls: 10, streams: 3, all: 100 };

/** Begins calls until one is refused, and returns the ends of those that were not. */
function beginAll(open: OpenCalls, connection: string, isStream = false): (() => void)[] {
	const ends: (() => void)[] = [];
	for (;;) {
		try {
			ends.push(open.begin(connection, isStream));
		} catch {
			return ends;
		}
	}
}

describe("OpenCalls", () => {
	it("lets a connection have so many calls, and so many of them be streams", () => {
		const open = new OpenCalls(limits);
		assert.equal(beginAll(open, "a", true).length, 3);
		assert.throws(
			() => open.begin("a", true),
			errorWith(
				"resource_exhausted",
				/^this connection has 3 streams open, the most that a connection may have; let some/,
			),
		);
		assert.equal(beginAll(open, "a").length, 7);
		assert.throws(
			() => open.begin("a", false),
			(error: Error) => {
				assert.ok((pushbackOf(error) ?? 0) > 0);
				return errorWith("resource_exhausted", /^this connection has 10 calls under way, /)(error);
			},
		);
		assert.equal(open.count, 10);
	});

	it("lets others in when some have ended, however often that is told", () => {
		const open = new OpenCalls(limits);
		const [end] = beginAll(open, "a", true);
		end?.();
		end?.();
		assert.equal(open.count, 2);
		assert.equal(beginAll(open, "a", true).length, 1);
	});

	it("lets each connection have fewer the more there are in all, but always four", () => {
		const open = new OpenCalls(limits);
		const counts = Array.from({ length: 30 }, (_, i) => beginAll(open, `${i}`).length);
		assert.equal(counts[0], 10);
		assert.equal(counts.at(-1), 4);
		assert.ok(open.count < limits.all + 30 * 4);
		assert.throws(
			() => open.begin("29", false),
			errorWith("resource_exhausted", /^the server has \d+ calls under way, and 4 of them are this connection's, /),
		);
	});

	it("counts those for their connection alone that are there as long as their caller is", () => {
		const open = new OpenCalls(limits);
		for (let connection = 0; connection < 200; connection++) {
			open.begin(`worker ${connection}`, true, true);
		}
		assert.equal(open.count, 0);
		assert.equal(open.countOf("worker 7"), 1);
		assert.equal(beginAll(open, "worker 7", true).length, 2);
		assert.equal(beginAll(open, "a").length, 10);
	});
});
