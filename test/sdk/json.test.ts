import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { fromJsonText, toJsonObject, toMetricsJson } from "../../src/sdk/json.js";

const rejects = (metrics: unknown, message: string | RegExp) =>
	assert.throws(() => toMetricsJson(metrics), { name: "MillraceError", code: "invalid_argument", message });

describe("toMetricsJson", () => {
	it("writes what JSON can say as it is", () => {
		const metrics = { loss: 0.25, "a b": [1, "x", null, true, { deep: [] }], __proto: {} };
		assert.deepEqual(JSON.parse(toMetricsJson(metrics)), metrics);
		assert.equal(toMetricsJson({}), "{}");
	});

	it("spells the numbers that JSON lacks, and fromJsonText reads them back", () => {
		const metrics = { a: Number.NaN, b: [Number.POSITIVE_INFINITY, { c: Number.NEGATIVE_INFINITY }], text: "NaN?" };
		const text = toMetricsJson(metrics);
		assert.equal(text, '{"a":"NaN","b":["Infinity",{"c":"-Infinity"}],"text":"NaN?"}');
		assert.deepEqual(fromJsonText(text), metrics);
	});

	it("keeps the sign of -0, and fromJsonText reads it back", () => {
		const metrics = { a: -0, b: [0, { c: -0 }] };
		assert.equal(toMetricsJson(metrics), '{"a":-0,"b":[0,{"c":-0}]}');
		assert.deepEqual(fromJsonText(toMetricsJson(metrics)), metrics);
	});

	it("keeps a key named __proto__", () => {
		const metrics = JSON.parse('{"__proto__": 1}');
		assert.equal(toMetricsJson(metrics), '{"__proto__":1}');
	});

	it("takes one object in two places", () => {
		const shared = { x: 1 };
		assert.equal(toMetricsJson({ a: shared, b: shared }), '{"a":{"x":1},"b":{"x":1}}');
	});

	it("names the place of what is not JSON", () => {
		rejects({ loss: [1, 2, 3n] }, "metrics.loss[2] is a BigInt; metrics must be JSON");
		rejects({ f: () => 1 }, "metrics.f is a function; metrics must be JSON");
		rejects({ a: { "b c": undefined } }, 'metrics.a["b c"] is undefined; metrics must be JSON');
		rejects({ a: Symbol("s") }, "metrics.a is a symbol; metrics must be JSON");
		rejects({ a: new Date() }, "metrics.a is a Date; metrics must be JSON");
		rejects({ a: new Float32Array(2) }, "metrics.a is a Float32Array; metrics must be JSON");
		rejects({ a: new Map() }, "metrics.a is a Map; metrics must be JSON");
		// biome-ignore lint/suspicious/noSparseArray: a hole is what this is about
		rejects({ a: [1, , 2] }, "metrics.a[1] is undefined; metrics must be JSON");
		rejects({ [Symbol("s")]: 1 }, "metrics has a symbol as a key; metrics must be JSON");
	});

	it("refuses a cycle and endless depth", () => {
		const cycle: Record<string, unknown> = {};
		cycle.list = [cycle];
		rejects(cycle, "metrics.list[0] refers back to an object that holds it; metrics must be JSON");
		let deep: unknown = 1;
		for (let i = 0; i < 10_000; i++) {
			deep = [deep];
		}
		rejects({ deep }, /is more than 200 levels deep; metrics must be JSON$/);
	});

	it("refuses what is not an object", () => {
		rejects(1, "metrics is 1; metrics must be a JSON object");
		rejects([1], "metrics is an Array; metrics must be a JSON object");
		rejects(null, "metrics is null; metrics must be a JSON object");
		rejects(undefined, "metrics is undefined; metrics must be a JSON object");
		rejects("x", "metrics is a string; metrics must be a JSON object");
	});
});

describe("toJsonObject", () => {
	it("refuses the numbers that a Struct cannot carry as JSON", () => {
		assert.throws(() => toJsonObject({ lr: [Number.NaN] }, "hparams"), {
			code: "invalid_argument",
			message: "hparams.lr[0] is NaN; hparams must be JSON",
		});
	});
});
