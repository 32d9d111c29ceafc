import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { formatShape, isTensor, tensor, toTensor } from "../../src/runtime/tensor.js";

const invalid = (message: string) => ({ code: "invalid_argument", message });

describe("tensor", () => {
	it("keeps a typed array and takes its type", () => {
		const data = Float32Array.of(1, 2, 3, 4);
		const made = tensor(data, [2, 2]);
		assert.equal(made.data, data);
		assert.deepEqual({ type: made.type, dims: made.dims }, { type: "float32", dims: [2, 2] });
		for (const [array, type] of [
			[BigInt64Array.of(1n), "int64"],
			[BigUint64Array.of(1n), "uint64"],
			[Int8Array.of(1), "int8"],
			[Int16Array.of(1), "int16"],
			[Int32Array.of(1), "int32"],
			[Uint8Array.of(1), "uint8"],
			[Uint8ClampedArray.of(1), "uint8"],
			[Uint16Array.of(1), "uint16"],
			[Uint32Array.of(1), "uint32"],
			[Float64Array.of(1), "float64"],
		] as const) {
			assert.equal(tensor(array).type, type);
		}
	});

	it("converts plain values to the type, float32 by default", () => {
		assert.deepEqual(tensor([1, 2.5]).data, Float32Array.of(1, 2.5));
		assert.deepEqual(tensor([1n, 2n]).data, BigInt64Array.of(1n, 2n));
		assert.deepEqual(tensor([true, false]), { type: "bool", dims: [2], data: Uint8Array.of(1, 0) });
		assert.deepEqual(tensor([1, 2], [2], "int64").data, BigInt64Array.of(1n, 2n));
		assert.deepEqual(tensor(Uint8Array.of(0, 255), [2], "float32").data, Float32Array.of(0, 255));
		assert.deepEqual(tensor(["a", "b"]), { type: "string", dims: [2], data: ["a", "b"] });
	});

	it("works out one open dimension", () => {
		assert.deepEqual(tensor(new Float32Array(12), [-1, 4]).dims, [3, 4]);
		assert.deepEqual(tensor(new Float32Array(1), []).dims, []);
		assert.deepEqual(tensor(new Float32Array(0), [0, 4]).dims, [0, 4]);
	});

	it("refuses dims that do not fit, with the sizes", () => {
		assert.throws(() => tensor([1, 2, 3], [2, 2]), invalid("dims [2, 2] do not fit 3 values: they need 4"));
		assert.throws(() => tensor([1, 2, 3], [-1, 2]), invalid("dims [-1, 2] do not fit 3 values: 3 is no multiple of 2"));
		const notSizes = (dims: string) =>
			invalid(`dims ${dims} are not sizes: give non-negative integers, at most one of them -1`);
		assert.throws(() => tensor([1], [1.5]), notSizes("[1.5]"));
		assert.throws(() => tensor([1], [-1, -1]), notSizes("[-1, -1]"));
	});

	it("refuses values that the type cannot hold", () => {
		assert.throws(() => tensor([1, 300], [2], "uint8"), invalid("value 300 at position 1 does not fit uint8"));
		assert.throws(() => tensor([1.5], [1], "int64"), invalid("value 1.5 at position 0 does not fit int64"));
		assert.throws(
			() => tensor([2n ** 63n], [1]),
			invalid("value 9223372036854775808 at position 0 does not fit int64"),
		);
		assert.throws(() => tensor(["a"] as never, [1], "float32"), invalid("value a at position 0 does not fit float32"));
		assert.throws(() => tensor([1], [1], "float16"), { message: /raw bits/ });
		assert.throws(() => tensor([1], [1], "string"), { message: /needs an array of strings/ });
		assert.throws(() => tensor([1], [1], "float8" as never), invalid('"float8" is no tensor type'));
	});
});

describe("toTensor", () => {
	it("makes tensors of numbers, nested arrays and typed arrays", () => {
		assert.deepEqual(toTensor(3), { type: "float32", dims: [], data: Float32Array.of(3) });
		assert.deepEqual(
			toTensor([
				[1, 2, 3],
				[4, 5, 6],
			]),
			tensor([1, 2, 3, 4, 5, 6], [2, 3]),
		);
		assert.deepEqual(
			toTensor([Float64Array.of(1, 2), Float64Array.of(3, 4)]),
			tensor(Float64Array.of(1, 2, 3, 4), [2, 2]),
		);
		assert.deepEqual(toTensor([[Buffer.from([1])], [Buffer.from([2])]]), tensor(Uint8Array.of(1, 2), [2, 1, 1]));
		assert.deepEqual(toTensor([[1n], [2n]]), tensor(BigInt64Array.of(1n, 2n), [2, 1]));
		assert.deepEqual(toTensor([true]), tensor([true]));
		assert.deepEqual(toTensor([]), tensor(new Float32Array(0), [0]));
		assert.deepEqual(toTensor([[], []]), tensor(new Float32Array(0), [2, 0]));
	});

	it("takes dims and type", () => {
		assert.deepEqual(
			toTensor([1, 2, 3, 4], { dims: [2, -1], type: "int32" }),
			tensor(Int32Array.of(1, 2, 3, 4), [2, 2]),
		);
		assert.deepEqual(toTensor(["a", "b"], { type: "string" }), tensor(["a", "b"]));
		assert.deepEqual(toTensor(tensor([1, 2]), { dims: [2, 1] }), tensor([1, 2], [2, 1]));
	});

	it("gives back a tensor as it is, and a record of tensors for a record", () => {
		const x = tensor([1]);
		assert.equal(toTensor(x), x);
		assert.deepEqual(toTensor({ x: [1], y: { z: 2 } }), { x: tensor([1]), y: { z: tensor([2], []) } });
	});

	it("hands on what cannot be converted, also within a record", () => {
		const date = new Date(0);
		for (const value of [
			"text",
			null,
			undefined,
			date,
			["a"],
			[{ x: 1 }],
			[1, "a"],
			[1, [2]].slice(0, 1).concat("b" as never),
		]) {
			assert.equal(toTensor(value), undefined);
			assert.equal(
				toTensor(value, {}, () => "kept"),
				"kept",
			);
		}
		const seen: unknown[] = [];
		const keep = (value: unknown) => {
			seen.push(value);
			return value;
		};
		assert.deepEqual(toTensor({ x: 1, label: "cat", date }, {}, keep), { x: tensor([1], []), label: "cat", date });
		assert.deepEqual(seen, ["cat", date]);
		assert.deepEqual(toTensor({ label: "cat", x: 1 }), { label: "cat", x: tensor([1], []) });
	});

	it("refuses ragged arrays with the sizes", () => {
		const ragged = (wanted: string, given: number) =>
			invalid(`a nested array is ragged: one part holds ${wanted}, another ${given}; give all parts the same length`);
		assert.throws(
			() =>
				toTensor([
					[1, 2, 3],
					[4, 5],
				]),
			ragged("3 values", 2),
		);
		assert.throws(() => toTensor([new Float32Array(3), new Float32Array(2)]), ragged("3 values", 2));
		assert.throws(() => toTensor([1, [2, 3]]), ragged("a single value", 2));
	});
});

describe("isTensor", () => {
	it("knows a tensor from a record", () => {
		assert.equal(isTensor(tensor([1])), true);
		assert.equal(isTensor({ type: "float32", dims: [1], data: [1] }), false);
		assert.equal(isTensor({ type: "toString", dims: [1], data: [1] }), false);
		assert.equal(isTensor(undefined), false);
	});
});

describe("formatShape", () => {
	it("writes named, fixed and unnamed dimensions", () => {
		assert.equal(formatShape(["n", 2, ""]), "[n, 2, ?]");
	});
});
