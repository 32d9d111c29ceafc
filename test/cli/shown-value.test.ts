import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { age, localTime, took } from "../../src/cli/shown-time.js";
import { byteSize, metricValue, pairs, percent, yaml } from "../../src/cli/shown-value.js";
import { keptTerminal } from "../support/kept-terminal.js";

describe("byteSize", () => {
	it("has two or three digits, and a unit in which it is not zero", () => {
		const sizes = [0, 1, 999, 1_000, 1_449, 9_940, 9_960, 99_400, 999_499, 999_500, 1_234_567, 5e9, 7e12, 3e15, 4e18];
		assert.deepEqual(sizes.map(byteSize), [
			...["0 B", "1 B", "999 B", "1.0 kB", "1.4 kB", "9.9 kB", "10 kB", "99 kB", "999 kB"],
			...["1.0 MB", "1.2 MB", "5.0 GB", "7.0 TB", "3.0 PB", "4000 PB"],
		]);
	});
});

describe("metricValue", () => {
	it("rounds for a person, and not for a program", () => {
		const values = [
			1 / 3,
			1_234_567.8,
			123_456_789,
			Number.NaN,
			Number.NEGATIVE_INFINITY,
			"a",
			null,
			[1, Number.NaN],
			undefined,
		];
		const shown = (columns?: number) => values.map((value) => metricValue(value, keptTerminal({ columns }).terminal));
		const rest = ["NaN", "-Infinity", "a", "null", '[1,"NaN"]', ""];
		assert.deepEqual(shown(80), ["0.333333", "1234568", "123456789", ...rest]);
		assert.deepEqual(shown(), ["0.3333333333333333", "1234567.8", "123456789", ...rest]);
	});
});

describe("pairs, percent and yaml", () => {
	it("write what is to be read at a glance", () => {
		const { terminal } = keptTerminal();
		assert.equal(pairs({ lr: 0.5, deep: { a: [1] }, name: "a b" }, terminal), 'lr=0.5 deep={"a":[1]} name=a b');
		assert.deepEqual([0, 0.999, 1].map(percent), ["0%", "99%", "100%"]);
		assert.deepEqual([yaml({}), yaml({ a: [1, "2"] })], ["", 'a:\n  - 1\n  - "2"\n']);
	});
});

describe("localTime", () => {
	it("is that of the reader's zone, to the minute", () => {
		assert.equal(localTime(new Date(2026, 10, 28, 16, 4, 59)), "2026-11-28 16:04");
		assert.equal(localTime(new Date(2026, 0, 2, 3, 4)), "2026-01-02 03:04");
		assert.equal(localTime(null), "");
	});
});

describe("age and took", () => {
	it("are in the largest unit, and never negative", () => {
		const now = Date.parse("2026-11-28T16:40:00Z");
		const ages = [-5, 0, 59, 60, 3_599, 3_600, 86_399, 86_400, 400 * 86_400];
		assert.deepEqual(
			ages.map((seconds) => age(new Date(now - seconds * 1_000), now)),
			["0 s", "0 s", "59 s", "1 min", "59 min", "1 h", "23 h", "1 d", "400 d"],
		);
		const creationTime = new Date(now);
		assert.equal(took({ creationTime, endTime: new Date(now + 7_500_000) }), "2 h 5 min");
		assert.equal(took({ creationTime, endTime: null }), "");
	});
});
