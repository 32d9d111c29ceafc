import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ExactSum } from "../../src/server/exact-sum.js";

function sum(...values: number[]): number {
	const exact = new ExactSum();
	for (const value of values) {
		exact.add(value);
	}
	return ExactSum.parse(JSON.parse(JSON.stringify(exact))).toNumber();
}

describe("ExactSum", () => {
	it("rounds the true sum once, to the nearest number", () => {
		assert.equal(sum(), 0);
		assert.equal(sum(0.1, 0.2), 0.30000000000000004);
		assert.equal(sum(1e16, 1, 1), 1e16 + 2);
		assert.equal(sum(1, 1e100, 1, -1e100), 2);
		assert.equal(sum(2 ** 53, 1, 2 ** -1074), 2 ** 53 + 2);
		assert.equal(sum(5e-324, 5e-324), 1e-323);
		assert.equal(sum(-0.5, 0, -0), -0.5);
		assert.equal(sum(Number.MAX_VALUE, Number.MAX_VALUE), Number.POSITIVE_INFINITY);
		assert.equal(sum(Number.MAX_VALUE, Number.MAX_VALUE, -Number.MAX_VALUE), Number.MAX_VALUE);
		assert.equal(sum(-Number.MAX_VALUE, -Number.MAX_VALUE), Number.NEGATIVE_INFINITY);
	});

	it("keeps every number as it is", () => {
		for (const value of [
			1,
			-3,
			0.1,
			1 / 3,
			2 ** -1022,
			2 ** -1030 * 3,
			Number.MAX_VALUE,
			Number.MIN_VALUE,
			123_456.789,
		]) {
			assert.equal(sum(value), value);
		}
	});

	it("is the same in parts", () => {
		const parts = [new ExactSum(), new ExactSum()] as const;
		[0.1, 1e20, 0.7, -1e20].forEach((value, i) => {
			parts[i < 2 ? 0 : 1].add(value);
		});
		parts[0].addSum(parts[1]);
		assert.equal(parts[0].toNumber(), sum(0.7, -1e20, 0.1, 1e20));
		assert.equal(parts[0].toNumber(), 0.1 + 0.7);
	});
});
