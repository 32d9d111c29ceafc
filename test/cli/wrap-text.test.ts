import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { wrapText } from "../../src/cli/wrap-text.js";

describe("wrapText", () => {
	it("breaks between words, and cuts a word only that has no line to itself", () => {
		assert.deepEqual(wrapText("one two three", 80, "…"), ["one two three"]);
		assert.deepEqual(wrapText("one two three", 7, "…"), ["one two", "three"]);
		assert.deepEqual(wrapText("one twenty-two", 6, "…"), ["one", "twent…"]);
		assert.deepEqual(wrapText("", 6, "…"), [""]);
	});

	it("counts the columns of wide characters", () => {
		assert.deepEqual(wrapText("日本 語文", 5, "…"), ["日本", "語文"]);
	});
});
