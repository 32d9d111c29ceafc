import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MetricSeriesCollector, metricOf, mostSeries } from "../../src/cli/metric-series.js";
import type { JsonObject, TrialMetrics } from "../../src/sdk/index.js";

function report(trialId: number, stepsCompleted: number | null, metrics: JsonObject, rank?: number): TrialMetrics {
	const endTime = new Date(0);
	return { trialId, trialRunId: 1, stepsCompleted, endTime, metrics, group: "g", ...(rank !== undefined && { rank }) };
}

function chartsOf(reports: Iterable<TrialMetrics>, names?: readonly string[]) {
	const collector = new MetricSeriesCollector(names);
	for (const one of reports) {
		collector.add(one);
	}
	return collector.charts;
}

describe("MetricSeriesCollector", () => {
	it("makes a series of each number, also within objects, and counts what has no place", () => {
		const charts = chartsOf([
			report(1, 1, { loss: 2, text: "x", by: { zero: 1, list: [1] } }),
			report(1, 2, { loss: Number.NaN, by: { zero: 3 } }),
			report(1, 3, { loss: 1 }),
		]);
		assert.deepEqual(
			charts.map(({ group, name, nonFinite }) => [group, name, nonFinite]),
			[
				["g", "loss", 1],
				["g", "by.zero", 0],
			],
		);
		assert.deepEqual(charts[0]?.series, [
			{
				...{ trialId: 1, rank: null },
				points: [
					{ fromX: 1, toX: 1, min: 2, max: 2, first: 2, last: 2 },
					{ fromX: 3, toX: 3, min: 1, max: 1, first: 1, last: 1 },
				],
			},
		]);
	});

	it("keeps only the metrics that were named", () => {
		const charts = chartsOf([report(1, 1, { a: 1, b: { c: 2 }, "d.e": 3 })], ["b.c", "d.e", "none"]);
		assert.deepEqual(
			charts.map(({ name }) => name),
			["b.c", "d.e"],
		);
	});

	it("tells ranks and trials apart, as long as they are few", () => {
		const of = (trials: number, ranks: number) =>
			chartsOf(
				Array.from({ length: trials * ranks }, (_, i) => report(1 + (i % trials), i, { x: i }, Math.floor(i / trials))),
			)[0];
		const few = of(2, 3);
		assert.equal(few?.isFolded, false);
		assert.deepEqual(
			few?.series.map(({ trialId, rank }) => [trialId, rank]),
			[1, 2].flatMap((trialId) => [0, 1, 2].map((rank) => [trialId, rank])),
		);
		const folded = of(2, 8);
		assert.equal(folded?.isFolded, true);
		assert.deepEqual(
			folded?.series.map(({ trialId, rank, points }) => [trialId, rank, points.length]),
			[1, 2].map((trialId) => [trialId, null, 8]),
		);
		const many = of(mostSeries + 3, 1);
		assert.deepEqual([many?.series.length, many?.trialsLeftOut], [mostSeries, 3]);
	});

	it("keeps no more than a chart shows of a million reports, and no peak is lost", () => {
		const million = 1_000_000;
		const charts = chartsOf(
			(function* () {
				for (let i = 0; i < million; i++) {
					yield report(1, i, { x: i === 777_777 ? 1e6 : Math.sin(i), y: 1 });
				}
			})(),
			["x"],
		);
		const points = charts[0]?.series[0]?.points ?? [];
		assert.ok(points.length > 200 && points.length <= 1_024, String(points.length));
		assert.equal(Math.max(...points.map(({ max }) => max)), 1e6);
		assert.deepEqual([points[0]?.fromX, points.at(-1)?.toX], [0, million - 1]);
		assert.equal(points[0]?.first, 0);
	});

	it("puts what came out of order in order, and reports without steps one after the other", () => {
		const steps = (reports: readonly TrialMetrics[]) =>
			chartsOf(reports)[0]?.series[0]?.points.map(({ fromX }) => fromX);
		assert.deepEqual(steps([3, 1, 2].map((step) => report(1, step, { x: step }))), [1, 2, 3]);
		assert.deepEqual(steps([1, 1, 1].map(() => report(1, null, { x: 1 }))), [1, 2, 3]);
	});
});

describe("metricOf", () => {
	it("takes a name as it is before it takes its dots for ways into objects", () => {
		const metrics = { "a.b": 1, a: { b: 2, c: { d: [3] } }, n: null };
		assert.deepEqual(
			["a.b", "a.c.d", "a.c", "n", "a.x", "a.c.d.0", "toString"].map((name) => metricOf(metrics, name)),
			[1, [3], { d: [3] }, null, undefined, undefined, undefined],
		);
	});
});
