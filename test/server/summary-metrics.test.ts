import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { emptyGroup, foldRows, joinGroups, type Metrics, type Summary } from "../../src/server/summary-metrics.js";
import { parseSummary, shownSummary, writeSummary } from "../../src/server/summary-text.js";

/** A group of reports, each a call of its own, a second after the one before. */
function groupOf(...reports: Metrics[]) {
	const group = emptyGroup();
	reports.forEach((metrics, i) => {
		foldRows(group, [{ id: i + 1, endTime: i * 1_000, metrics, added: metrics, isSourced: false }]);
	});
	return group;
}

const shown = (group: ReturnType<typeof groupOf>) => JSON.parse(shownSummary(writeSummary(new Map([["g", group]])))).g;

const fold = (...reports: Metrics[]) => shown(groupOf(...reports));

describe("foldRows", () => {
	it("E.2 keeps count, sum, extremes, mean and last of numbers, and a null last for what the newest report lacks", () => {
		assert.deepEqual(fold({ a: 1, b: -0.5 }, { a: 1.5, b: 0 }, { a: 2 }), {
			a: { type: "number", count: 3, sum: 4.5, min: 1, max: 2, mean: 1.5, last: 2 },
			b: { type: "number", count: 2, sum: -0.5, min: -0.5, max: 0, mean: -0.25, last: null },
		});
	});

	it("E.2 counts NaN and infinities as numbers, and NaN swallows the rest", () => {
		assert.deepEqual(fold({ a: "NaN", b: "-Infinity" }, { a: 1, b: "Infinity" }), {
			a: { type: "number", count: 2, sum: "NaN", min: "NaN", max: "NaN", mean: "NaN", last: 1 },
			b: { type: "number", count: 2, sum: "NaN", min: "-Infinity", max: "Infinity", mean: "NaN", last: "Infinity" },
		});
		assert.deepEqual(fold({ a: 1 }, { a: "Infinity" }, { a: 2 }).a, {
			...{ type: "number", count: 3, sum: "Infinity", min: 1, max: "Infinity", mean: "Infinity", last: 2 },
		});
	});

	it("E.2 names the types of other values", () => {
		const group = fold({ s: "text", d: "2026-01-02T03:04:05.6+01:00", b: true, o: { x: 1 }, l: [1], n: null });
		const types = Object.entries(group).map(([name, summary]) => [name, (summary as { type: string }).type]);
		const expected = { s: "string", d: "date", b: "boolean", o: "object", l: "array", n: "null" };
		assert.deepEqual(Object.fromEntries(types), expected);
		assert.deepEqual(group.b, { type: "boolean", last: true });
	});

	it("E.2 makes a metric whose type changes a string for ever", () => {
		assert.deepEqual(fold({ a: 1 }, { a: true }, { a: 2 }), { a: { type: "string", last: 2 } });
	});

	it("takes last from the report with the latest time, of equal ones from the one with the highest id", () => {
		const group = emptyGroup();
		const row = (id: number, endTime: number) => {
			const metrics = { a: id };
			return { id, endTime, metrics, added: metrics, isSourced: false };
		};
		foldRows(group, [row(5, 20), row(1, 30), row(3, 30), row(2, 30)]);
		foldRows(group, [row(9, 10)]);
		assert.equal(group.metrics.get("a")?.last, 3);
	});

	it("keeps -0, in what is last, and as the smallest or the largest", () => {
		const group = groupOf({ a: 0, l: [] }, { a: -0, l: [-0, { b: -0 }] });
		assert.deepEqual(shown(group), {
			a: { type: "number", count: 2, sum: 0, min: -0, max: 0, mean: 0, last: -0 },
			l: { type: "array", last: [-0, { b: -0 }] },
		});
		assert.deepEqual(parseSummary(writeSummary(new Map([["g", group]]))).get("g")?.metrics, group.metrics);
	});

	it("survives being written and read, whatever the metrics are called", () => {
		const group = groupOf(JSON.parse('{"__proto__":1,"constructor":2}'));
		const text = writeSummary(new Map([["__proto__", group]]));
		const read: Summary = parseSummary(text);
		assert.deepEqual([...(read.get("__proto__")?.metrics.keys() ?? [])], ["__proto__", "constructor"]);
		assert.equal(writeSummary(read), text);
		assert.match(shownSummary(text), /"__proto__":\{"__proto__":\{"type":"number","count":1/);
	});
});

describe("joinGroups", () => {
	it("gives what the reports together give", () => {
		const [a, b] = [
			groupOf({ x: 0.1, y: 1, z: "NaN" }, { x: 0.7, w: 1 }),
			groupOf({ x: 1e20, y: true }, { y: 2, x: -1e20 }),
		];
		const together = fold({ x: 0.1, y: 1, z: "NaN" }, { x: 0.7, w: 1 }, { x: 1e20, y: true }, { y: 2, x: -1e20 });
		// The newest report is that with the highest id at the latest time.
		b.newest = [b.newest[0], 9];
		assert.deepEqual(shown(joinGroups([a, b])), together);
		assert.deepEqual(shown(joinGroups([b, a])), together);
	});
});
