import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create, type JsonObject, type MessageInitShape } from "@bufbuild/protobuf";
import { MetadataChangeSchema } from "../../src/gen/millrace/v1/change_pb.js";
import { applyMetadataChange, assertMetadataChange, checkedObject } from "../../src/server/metadata-change.js";
import { errorWith } from "../support/error-with.js";

const change = (init: MessageInitShape<typeof MetadataChangeSchema>) => create(MetadataChangeSchema, init);

describe("applyMetadataChange", () => {
	const applied = (stored: JsonObject, init: MessageInitShape<typeof MetadataChangeSchema>) =>
		JSON.parse(applyMetadataChange("metadata", JSON.stringify(stored), change(init))) as JsonObject;

	it("clears, then removes, then sets; a value replaces the whole of the one before (F.53)", () => {
		assert.deepEqual(applied({ a: 1, b: { c: 2 } }, { set: { b: { d: 3 }, e: null } }), { a: 1, b: { d: 3 }, e: null });
		assert.deepEqual(applied({ a: 1, b: 2 }, { remove: ["a", "absent"] }), { b: 2 });
		assert.deepEqual(applied({ a: 1 }, { remove: ["a"], set: { a: 2 } }), { a: 2 });
		assert.deepEqual(applied({ a: 1, b: 2 }, { clear: true, set: { c: 3 } }), { c: 3 });
	});

	it("takes keys of any characters", () => {
		const odd = { "a\0b": "\0", toString: 1, "\ud800": "\udc00", "": 2 };
		assert.deepEqual(applied(JSON.parse('{"__proto__":1}') as JsonObject, { set: odd }), {
			...JSON.parse('{"__proto__":1}'),
			...odd,
		});
	});

	it("changes nothing without a change", () => {
		assert.equal(applyMetadataChange("metadata", '{"a":1}', undefined), '{"a":1}');
	});

	it("refuses to let metadata grow over 1 MiB", () => {
		const half = "x".repeat(600_000);
		assert.throws(
			() => applied({ a: half }, { set: { b: half } }),
			errorWith("invalid_argument", /^metadata would have 1200\d+ bytes/),
		);
		assert.equal(applied({ a: half }, { set: { a: half } }).a, half);
	});
});

describe("checkedObject", () => {
	it("refuses numbers that JSON has not, and depths that a stack has not, naming the field", () => {
		for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
			assert.throws(
				() => checkedObject("metadata", { k: [{ x: value }] }),
				errorWith("invalid_argument", /^metadata\.k is or holds/),
			);
			assert.throws(
				() => assertMetadataChange("metadata", change({ set: { k: value } })),
				errorWith("invalid_argument", /^metadata\.set\.k /),
			);
		}
		let deep: JsonObject = {};
		for (let i = 0; i < 200; i++) {
			deep = { deep };
		}
		assert.throws(
			() => checkedObject("metadata", deep),
			errorWith("invalid_argument", /^metadata is nested more than 200/),
		);
		assert.throws(
			() => checkedObject("metadata", { x: "x".repeat(2 ** 20) }),
			errorWith("invalid_argument", /^metadata would have/),
		);
		assert.deepEqual(checkedObject("metadata", undefined), {});
	});
});
