import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { inWords, rankList } from "../../src/sdk/rank-list.js";

describe("rankList", () => {
	it("names ranks, and ranges of three or more", () => {
		assert.equal(rankList([2]), "rank 2");
		assert.equal(rankList([0, 1]), "ranks 0 and 1");
		assert.equal(rankList([0, 1, 3]), "ranks 0, 1 and 3");
		assert.equal(rankList([0, 1, 2, 5, 7, 8, 9]), "ranks 0 to 2, 5 and 7 to 9");
	});

	it("counts those that it has no room for", () => {
		const even = Array.from({ length: 32 }, (_, i) => 2 * i);
		assert.equal(rankList(even), "ranks 0, 2, 4, 6, 8, 10 and 26 more");
		// "1 more" would take the place of the last one.
		assert.equal(rankList(even.slice(0, 7)), "ranks 0, 2, 4, 6, 8, 10 and 12");
		assert.equal(rankList([...even.slice(0, 6), 20, 21, 22, 40]), "ranks 0, 2, 4, 6, 8, 10 and 4 more");
	});
});

describe("inWords", () => {
	it("joins texts", () => {
		assert.deepEqual(
			[inWords([]), inWords(["a"]), inWords(["a", "b"]), inWords(["a", "b", "c"])],
			["", "a", "a and b", "a, b and c"],
		);
	});
});
