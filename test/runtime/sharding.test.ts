import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { countRecords, mergeRanges, type RecordSpan, shard } from "../../src/runtime/sharding.js";

/** Mulberry32: the same cases in every run. */
function seeded(seed: number): (below: number) => number {
	let state = seed;
	return (below) => {
		state = (state + 0x6d2b79f5) | 0;
		let t = Math.imul(state ^ (state >>> 15), 1 | state);
		t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
		return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
	};
}

function expand(ranges: readonly RecordSpan[]): number[] {
	return ranges.flatMap(({ first, end }) => Array.from({ length: end - first }, (_, i) => first + i));
}

describe("shard", () => {
	it("gives the call counts of the original's tests", () => {
		const counts = (batchSize: number, size: number) => {
			const shards = Array.from({ length: size }, (_, rank) =>
				shard({ left: [{ first: 0, end: 50 }], batchSize, rank, size }),
			);
			return { steps: shards[0]?.stepCount, batches: shards.map((each) => [...each.batches()].length) };
		};
		assert.deepEqual(counts(10, 1), { steps: 5, batches: [5] });
		assert.deepEqual(counts(10, 2), { steps: 3, batches: [3, 2] });
		assert.deepEqual(counts(20, 1), { steps: 3, batches: [3] });
		assert.deepEqual(counts(20, 2), { steps: 2, batches: [2, 1] });
	});

	it("lets no batch span a gap", () => {
		const left = [
			{ first: 0, end: 3 },
			{ first: 10, end: 12 },
			{ first: 20, end: 27 },
		];
		const ranges = (rank: number) =>
			[...shard({ left, batchSize: 4, rank, size: 2 }).batches()].map(({ range }) => [range.first, range.end]);
		assert.deepEqual(ranges(0), [
			[0, 3],
			[20, 24],
		]);
		assert.deepEqual(ranges(1), [
			[10, 12],
			[24, 27],
		]);
	});

	it("makes a batch of each record that is to be alone", () => {
		const left = [
			{ first: 0, end: 10 },
			{ first: 12, end: 15 },
			{ first: 20, end: 22 },
		];
		const alone = [
			{ first: 3, end: 5 },
			{ first: 9, end: 10 },
			{ first: 12, end: 15 },
		];
		const shards = [0, 1].map((rank) => shard({ left, alone, batchSize: 4, rank, size: 2 }));
		assert.deepEqual(
			shards.map(({ recordCount, batchCount, stepCount }) => [recordCount, batchCount, stepCount]),
			[
				[15, 9, 5],
				[15, 9, 5],
			],
		);
		assert.deepEqual(
			shards.map(({ batches }) => [...batches()].map(({ step, indices }) => [step, ...indices])),
			[
				[
					[0, 0, 1, 2],
					[1, 4],
					[2, 9],
					[3, 13],
					[4, 20, 21],
				],
				[
					[0, 3],
					[1, 5, 6, 7, 8],
					[2, 12],
					[3, 14],
				],
			],
		);
	});

	it("has nothing for an empty rest", () => {
		const { recordCount, batchCount, stepCount, batches } = shard({ left: [], batchSize: 4, rank: 1, size: 2 });
		assert.deepEqual({ recordCount, batchCount, stepCount }, { recordCount: 0, batchCount: 0, stepCount: 0 });
		assert.deepEqual([...batches()], []);
	});

	it("agrees with slicing each range, for any ranges, batch and world size", () => {
		const random = seeded(20_261_122);
		for (let round = 0; round < 500; round++) {
			const left: RecordSpan[] = [];
			for (let at = random(5), n = random(8); n > 0; n--) {
				const end = at + 1 + random(9);
				left.push({ first: at, end });
				at = end + 1 + random(4);
			}
			const batchSize = 1 + random(12);
			const size = 1 + random(5);
			const records = expand(left);
			const all = left.flatMap((range) => {
				const of = expand([range]);
				return Array.from({ length: Math.ceil(of.length / batchSize) }, (_, b) =>
					of.slice(b * batchSize, (b + 1) * batchSize),
				);
			});
			const batchCount = all.length;
			for (let rank = 0; rank < size; rank++) {
				const own = shard({ left, batchSize, rank, size });
				const context = JSON.stringify({ left, batchSize, rank, size });
				assert.equal(own.recordCount, records.length, context);
				assert.equal(own.batchCount, batchCount, context);
				assert.equal(own.stepCount, Math.ceil(batchCount / size), context);
				const wanted = all.filter((_, b) => b % size === rank).map((indices, step) => ({ step, indices }));
				const batches = [...own.batches()];
				assert.deepEqual(
					batches.map(({ step, indices }) => ({ step, indices })),
					wanted,
					context,
				);
				for (const { indices, range } of batches) {
					assert.deepEqual(expand([range]), indices, context);
				}
			}
		}
	});

	it("finds a worker's first batch in a million million records without walking over them", () => {
		const left = [{ first: 5, end: 1e12 }];
		const [first] = shard({ left, batchSize: 2, rank: 999_999_999, size: 1_000_000_000 }).batches();
		assert.deepEqual(first, {
			step: 0,
			indices: [2_000_000_003, 2_000_000_004],
			range: { first: 2_000_000_003, end: 2_000_000_005 },
		});
	});
});

describe("mergeRanges", () => {
	it("joins what touches or overlaps, in order, and drops what is empty", () => {
		const ranges = [
			{ first: 8, end: 9 },
			{ first: 0, end: 2 },
			{ first: 2, end: 4 },
			{ first: 3, end: 5 },
			{ first: 6, end: 6 },
		];
		assert.deepEqual(mergeRanges(ranges), [
			{ first: 0, end: 5 },
			{ first: 8, end: 9 },
		]);
		assert.equal(countRecords(mergeRanges(ranges)), 6);
	});
});
