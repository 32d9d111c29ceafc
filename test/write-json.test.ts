import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { writeJson } from "../src/write-json.js";

describe("writeJson", () => {
	it("writes what JSON.stringify does where there is no -0", () => {
		for (const value of [{ a: [1, "x", null, true, {}], b: undefined, "": 0 }, [], 0, "-0", null]) {
			assert.equal(writeJson(value), JSON.stringify(value));
		}
	});

	it("keeps -0, wherever it is, and all else that is beside it", () => {
		const value = JSON.parse('{"__proto__":-0,"a":[-0,{"b\\"":-0.0}],"rest":[0,"x",null,false,1e21,{}]}');
		const text = writeJson(value);
		assert.equal(text, '{"__proto__":-0,"a":[-0,{"b\\"":-0}],"rest":[0,"x",null,false,1e+21,{}]}');
		assert.deepEqual(JSON.parse(text), value);
		assert.equal(writeJson(-0), "-0");
		assert.equal(writeJson({ a: -0, b: undefined }), '{"a":-0}');
	});
});
