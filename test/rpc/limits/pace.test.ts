import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Pace } from "../../../src/rpc/limits/pace.js";

function makePace() {
	let now = 1_000_000;
	const pace = new Pace({ burst: 3, apartMs: 100, mostMs: 250 }, () => now);
	const pass = (ms: number) => {
		now += ms;
	};
	return { pace, pass };
}

describe("Pace", () => {
	it("lets a burst pass, and makes those wait who come after it, up to the most", () => {
		const { pace } = makePace();
		assert.deepEqual(
			Array.from({ length: 7 }, () => pace.count("a")),
			[0, 0, 0, 100, 200, 250, 250],
		);
		assert.equal(pace.waitOf("a"), 250);
	});

	it("does not hold one's haste against another", () => {
		const { pace } = makePace();
		for (let count = 0; count < 10; count++) {
			pace.count("a");
		}
		assert.equal(pace.waitOf("b"), 0);
		assert.equal(pace.count("b"), 0);
	});

	it("has a wait end in its time, and grants a whole burst after a rest", () => {
		const { pace, pass } = makePace();
		for (let count = 0; count < 5; count++) {
			pace.count("a");
		}
		pass(150);
		assert.equal(pace.waitOf("a"), 50);
		pass(1_000);
		assert.deepEqual([pace.count("a"), pace.count("a"), pace.count("a")], [0, 0, 0]);
		assert.equal(pace.count("a"), 100);
	});

	it("forgets those who may have a whole burst again", () => {
		const { pace, pass } = makePace();
		for (let count = 0; count < 1_000; count++) {
			pace.count(`once-${count}`);
		}
		assert.equal(pace.size, 1_000);
		pass(1_000);
		pace.count("later");
		assert.equal(pace.size, 1);
	});
});
