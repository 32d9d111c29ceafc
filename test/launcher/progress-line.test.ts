import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { formatDuration, ProgressMeter } from "../../src/launcher/progress-line.js";

describe("ProgressMeter", () => {
	const after = (...samples: [number, number, number][]) => {
		const meter = new ProgressMeter();
		for (const [timeMs, recordsDone, recordsTotal] of samples) {
			meter.add({ timeMs, recordsDone, recordsTotal });
		}
		return meter;
	};

	it("tells records, part, speed and time left", () => {
		assert.equal(
			after([0, 1_146, 10_000], [1_000, 4_096, 10_000]).text,
			"4,096 / 10,000 records (40 %), 2,950 records/s, 3 s left",
		);
	});

	it("says nothing before the number of records is known", () => {
		assert.equal(after().text, undefined);
		assert.equal(after([0, 0, 0]).text, undefined);
	});

	it("says no speed that it cannot know", () => {
		assert.equal(after([0, 5, 10]).text, "5 / 10 records (50 %)");
		assert.equal(after([0, 5, 10], [1_000, 5, 10]).text, "5 / 10 records (50 %)");
	});

	it("says no time left at the end", () => {
		assert.equal(after([0, 0, 10], [4_000, 10, 10]).text, "10 / 10 records (100 %), 2.5 records/s");
	});

	it("says 100 % only when all is done", () => {
		assert.match(after([0, 99_999, 100_000]).text ?? "", /\(99 %\)/);
	});

	it("forgets old speeds", () => {
		const samples = Array.from({ length: 30 }, (_, second): [number, number, number] => [
			second * 1_000,
			Math.min(second, 10) * 100 + Math.max(0, second - 10),
			10_000,
		]);
		assert.match(after(...samples).text ?? "", / 1\.0 records\/s/);
	});

	it("does not count the time before the first record", () => {
		const waiting: [number, number, number][] = [0, 1, 2, 3].map((second) => [second * 1_000, 0, 100]);
		assert.match(after(...waiting, [4_000, 50, 100]).text ?? "", / 50 records\/s, 1 s left/);
	});

	it("measures a new run by itself", () => {
		const meter = after([0, 0, 100], [1_000, 50, 100]);
		meter.reset();
		meter.add({ timeMs: 60_000, recordsDone: 50, recordsTotal: 100 });
		assert.equal(meter.text, "50 / 100 records (50 %)");
	});
});

describe("formatDuration", () => {
	it("takes the units that fit", () => {
		assert.deepEqual([0.2, 59, 60, 3_599, 7_500].map(formatDuration), [
			"1 s",
			"59 s",
			"1 min 0 s",
			"59 min 59 s",
			"2 h 5 min",
		]);
	});
});
