import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { foldMetrics, type GroupSummary, parseSummary, writeSummary } from "../../src/server/summary-metrics.js";

function fold(...reports: Record<string, unknown>[]) {
	const group: GroupSummary = new Map();
	for (const report of reports) {
		foldMetrics(group, report);
	}
	return Object.fromEntries(group);
}

describe("foldMetrics", () => {
	it("keeps count, sum, extremes, mean and last of numbers, and a null last for what the newest report lacks", () => {
		assert.deepEqual(fold({ a: 1, b: -0.5 }, { a: 1.5, b: 0 }, { a: 2 }), {
			a: { type: "number", count: 3, sum: 4.5, min: 1, max: 2, mean: 1.5, last: 2 },
			b: { type: "number", count: 2, sum: -0.5, min: -0.5, max: 0, mean: -0.25, last: null },
		});
	});

	it("counts NaN and infinities as numbers, and NaN swallows the rest", () => {
		assert.deepEqual(fold({ a: "NaN", b: "-Infinity" }, { a: 1, b: "Infinity" }), {
			a: { type: "number", count: 2, sum: "NaN", min: "NaN", max: "NaN", mean: "NaN", last: 1 },
			b: { type: "number", count: 2, sum: "NaN", min: "-Infinity", max: "Infinity", mean: "NaN", last: "Infinity" },
		});
	});

	it("names the types of other values", () => {
		const group = fold({ s: "text", d: "2026-01-02T03:04:05.6+01:00", b: true, o: { x: 1 }, l: [1], n: null });
		const types = Object.fromEntries(Object.entries(group).map(([name, summary]) => [name, summary.type]));
		assert.deepEqual(types, { s: "string", d: "date", b: "boolean", o: "object", l: "array", n: "null" });
	});

	it("makes a metric whose type changes a string for ever", () => {
		assert.deepEqual(fold({ a: 1 }, { a: true }, { a: 2 }), { a: { type: "string", last: 2 } });
	});

	it("survives being written and read, whatever the metrics are called", () => {
		const report = JSON.parse('{"__proto__":1,"constructor":2}');
		const group: GroupSummary = new Map();
		foldMetrics(group, report);
		const read = parseSummary(writeSummary(new Map([["__proto__", group]])));
		assert.deepEqual([...(read.get("__proto__")?.keys() ?? [])], ["__proto__", "constructor"]);
	});
});
