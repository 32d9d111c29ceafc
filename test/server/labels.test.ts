import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { checkedLabels } from "../../src/server/labels.js";
import { errorWith } from "../support/error-with.js";

describe("checkedLabels", () => {
	it("keeps the order, drops duplicates, and leaves commas alone (F.38)", () => {
		assert.deepEqual(checkedLabels("labels", ["b", "a,c", "b", "a", " "]), ["b", "a,c", "a", " "]);
	});

	it("refuses what is no label, naming its place", () => {
		assert.throws(() => checkedLabels("labels", ["a", ""]), errorWith("invalid_argument", /labels\[1\] is empty/));
		assert.throws(
			() => checkedLabels("labels", ["x".repeat(1001)]),
			errorWith("invalid_argument", /labels\[0\] has 1001/),
		);
		assert.throws(() => checkedLabels("labels", ["a\0"]), errorWith("invalid_argument", /labels\[0\] has a NUL/));
		const many = Array.from({ length: 1001 }, (_, i) => `${i}`);
		assert.throws(() => checkedLabels("labels", many), errorWith("invalid_argument", /1001 labels/));
	});
});
