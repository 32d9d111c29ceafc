import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { type ReducerPartial, type StoredPartial, StoredPartialSchema } from "../../src/gen/millrace/v1/progress_pb.js";
import { type MetricReducer, ReducerRegistry } from "../../src/runtime/metric-reducer.js";
import type { JsonValue } from "../../src/sdk/json.js";

class Accuracy implements MetricReducer<[number, number]> {
	right = -1;
	total = -1;
	reset() {
		this.right = 0;
		this.total = 0;
	}
	add(isRight: boolean) {
		this.right += isRight ? 1 : 0;
		this.total++;
	}
	perSlotReduce(): [number, number] {
		return [this.right, this.total];
	}
	crossSlotReduce(perSlot: readonly [number, number][]): JsonValue {
		const sum = (i: 0 | 1) => perSlot.reduce((all, slot) => all + slot[i], 0);
		return sum(0) / sum(1);
	}
}

/** What the server keeps: slot values replaced, values of functions appended, in its order of streaming. */
function store(commits: { run?: number; rank?: number; partials: readonly ReducerPartial[] }[]): StoredPartial[] {
	const slots = new Map<string, StoredPartial>();
	const values: StoredPartial[] = [];
	for (const { run = 1, rank = 0, partials } of commits) {
		for (const { reducer, value } of partials) {
			const place = { reducer, trialRunId: run, rank, part: 0 };
			if (value.case === "slotJson") {
				slots.set(`${reducer}/${run}/${rank}`, create(StoredPartialSchema, { ...place, valueJson: value.value }));
			} else if (value.case === "recordValues") {
				for (const { firstRecord, valuesJson } of value.value.batches) {
					values.push(create(StoredPartialSchema, { ...place, firstRecord, valueJson: valuesJson }));
				}
			}
		}
	}
	return [...slots.values(), ...values];
}

describe("ReducerRegistry", () => {
	it("resets a MetricReducer, hands over its value at each commit, and reduces the last ones of all workers", () => {
		const first = new ReducerRegistry();
		const second = new ReducerRegistry();
		const accuracy = first.wrap(new Accuracy(), { name: "accuracy", group: "inference" });
		const other = second.wrap(new Accuracy(), { name: "accuracy", group: "inference" });
		const commits = [];
		first.beginBatch(0);
		accuracy.add(true);
		accuracy.add(false);
		commits.push({ rank: 0, partials: first.takePartials() });
		accuracy.add(true);
		commits.push({ rank: 0, partials: first.takePartials() });
		second.beginBatch(2);
		other.add(false);
		commits.push({ rank: 1, partials: second.takePartials() });
		const { results, byGroup } = first.reduce(store(commits));
		assert.deepEqual(results, { accuracy: 0.5 });
		assert.deepEqual([...byGroup], [["inference", { accuracy: 0.5 }]]);
	});

	it("gives a function the values of all workers and runs in data set order, each once", () => {
		const seen: JsonValue[] = [];
		const registries = [0, 1].map(() => new ReducerRegistry());
		const updates = registries.map((registry) =>
			registry.wrap(
				(values: readonly { i: number }[]) => {
					seen.push(...values);
					return values.length;
				},
				{ name: "count" },
			),
		);
		const commits = [];
		for (const [rank, firstRecord] of [
			[1, 4],
			[0, 8],
			[1, 12],
			[0, 0],
		] as const) {
			registries[rank]?.beginBatch(firstRecord);
			updates[rank]?.update({ i: firstRecord });
			updates[rank]?.update({ i: firstRecord + 1 });
			commits.push({ rank, run: rank + 1, partials: registries[rank]?.takePartials() ?? [] });
		}
		assert.deepEqual(registries[0]?.reduce(store(commits)).results, { count: 8 });
		assert.deepEqual(
			seen,
			[0, 1, 4, 5, 8, 9, 12, 13].map((i) => ({ i })),
		);
	});

	it("commits only what is new of a function, and a value as it was when it was given", () => {
		const registry = new ReducerRegistry();
		const reducer = registry.wrap((values: readonly number[][]) => [...values], { name: "all" });
		registry.beginBatch(0);
		const value = [1];
		reducer.update(value);
		value.push(2);
		const first = registry.takePartials();
		assert.deepEqual(registry.takePartials(), []);
		reducer.update([3]);
		assert.deepEqual(registry.reduce(store([{ partials: first }, { partials: registry.takePartials() }])).results, {
			all: [[1], [3]],
		});
	});

	it("keeps NaN and the infinities", () => {
		const registry = new ReducerRegistry();
		const reducer = registry.wrap((values: readonly number[]) => ({ sum: values[0] ?? 0, values: [...values] }));
		registry.beginBatch(0);
		for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) reducer.update(value);
		const stored = store([{ partials: registry.takePartials() }]);
		assert.deepEqual(registry.reduce(stored).results, {
			sum: Number.NaN,
			values: [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
		});
	});

	it("reduces nothing without partials, and commits none before the first batch", () => {
		const registry = new ReducerRegistry();
		registry.wrap(new Accuracy(), { name: "accuracy" });
		assert.deepEqual(registry.takePartials(), []);
		const { results, byGroup } = registry.reduce([]);
		assert.deepEqual(results, {});
		assert.equal(byGroup.size, 0);
	});

	it("reports to validation by default, and keeps groups apart", () => {
		const registry = new ReducerRegistry();
		const a = registry.wrap((values: readonly number[]) => ({ a: values.length, b: 2 }));
		const c = registry.wrap((values: readonly number[]) => values.length, { name: "c", group: "inference" });
		registry.beginBatch(0);
		a.update(1);
		c.update(1);
		const { results, byGroup } = registry.reduce(store([{ partials: registry.takePartials() }]));
		assert.deepEqual(results, { a: 1, b: 2, c: 1 });
		assert.deepEqual(Object.fromEntries(byGroup), { validation: { a: 1, b: 2 }, inference: { c: 1 } });
	});

	it("tells reducers without a name apart by their position", () => {
		const registry = new ReducerRegistry();
		const [a, b] = ["a", "b"].map((metric) =>
			registry.wrap((values: readonly number[]) => ({ [metric]: [...values] })),
		);
		registry.beginBatch(0);
		a?.update(1);
		b?.update(2);
		const partials = registry.takePartials();
		assert.deepEqual(
			partials.map(({ reducer }) => reducer),
			["#0", "#1"],
		);
		assert.deepEqual(registry.reduce(store([{ partials }])).results, { a: [1], b: [2] });
	});

	it("refuses names and groups that cannot be", () => {
		const registry = new ReducerRegistry();
		registry.wrap(new Accuracy(), { name: "accuracy" });
		const refuses = (options: object, message: RegExp) =>
			assert.throws(() => registry.wrap(new Accuracy(), options), { code: "invalid_argument", message });
		refuses({ name: "accuracy", group: "other" }, /a reducer "accuracy" already/);
		refuses({ name: "" }, /name is ""/);
		refuses({ name: "#0" }, /name is "#0"/);
		refuses({ group: "" }, /group must not be empty/);
		refuses({ group: "a.b" }, /"a.b" must not have a dot/);
		assert.throws(() => registry.wrap({ reset() {} } as never), {
			message: /^reducer Object has no method perSlotReduce/,
		});
	});

	it("names the reducer and its method when it throws", () => {
		class Broken extends Accuracy {
			override reset() {
				if (this.label === "reset") throw new Error("no");
			}
			override perSlotReduce(): [number, number] {
				throw new Error("division by zero");
			}
			override crossSlotReduce(): number {
				throw new Error("no way");
			}
			constructor(readonly label = "") {
				super();
			}
		}
		const registry = new ReducerRegistry();
		assert.throws(() => registry.wrap(new Broken("reset")), { message: /^reducer Broken: reset threw: / });
		registry.wrap(new Broken(), { name: "accuracy" });
		registry.beginBatch(0);
		assert.throws(() => registry.takePartials(), {
			code: "unknown",
			message: 'reducer Broken "accuracy": perSlotReduce threw: division by zero',
		});
		const stored = create(StoredPartialSchema, { reducer: "accuracy", valueJson: "[1,2]" });
		assert.throws(() => registry.reduce([stored]), {
			message: 'reducer Broken "accuracy": crossSlotReduce threw: no way',
		});
	});

	it("refuses what is not JSON, naming the reducer", () => {
		const registry = new ReducerRegistry();
		const reducer = registry.wrap(function mean() {
			return (() => 1) as never;
		});
		registry.beginBatch(0);
		assert.throws(() => reducer.update(1n as never), {
			code: "invalid_argument",
			message: /^reducer function mean: the value/,
		});
		reducer.update(1);
		const stored = store([{ partials: registry.takePartials() }]);
		assert.throws(() => registry.reduce(stored), {
			code: "invalid_argument",
			message: /^reducer function mean: the result of the function/,
		});
	});

	it("refuses results of the wrong form, and the same metric twice", () => {
		const reduceTo = (result: JsonValue, options: object) => {
			const registry = new ReducerRegistry();
			const reducers = [registry.wrap(() => result, options), registry.wrap(() => ({ loss: 1 }))];
			registry.beginBatch(0);
			for (const reducer of reducers) reducer.update(1);
			return registry.reduce(store([{ partials: registry.takePartials() }])).results;
		};
		assert.deepEqual(reduceTo([1, 2], { name: "pair" }), { pair: [1, 2], loss: 1 });
		assert.throws(() => reduceTo({ a: 1 }, { name: "a" }), { code: "invalid_argument", message: /gave an object/ });
		assert.throws(() => reduceTo(1, {}), { code: "invalid_argument", message: /gave 1: without a name/ });
		assert.throws(() => reduceTo(1, { name: "loss" }), { code: "invalid_argument", message: /the metric "loss"/ });
	});

	it("refuses a function's values before the first batch and after the end", () => {
		const registry = new ReducerRegistry();
		const reducer = registry.wrap((values: readonly number[]) => values.length, { name: "count" });
		assert.throws(() => reducer.update(1), { code: "failed_precondition", message: /before the first batch/ });
		registry.beginBatch(0);
		reducer.update(1);
		registry.end();
		assert.throws(() => reducer.update(1), { code: "failed_precondition", message: /after the last commit/ });
	});

	it("refuses partials of the other kind, and leaves those of a reducer that is gone", () => {
		const registry = new ReducerRegistry();
		registry.wrap(new Accuracy(), { name: "accuracy" });
		const values = create(StoredPartialSchema, { reducer: "accuracy", firstRecord: 0n, valueJson: "[1]" });
		assert.throws(() => registry.reduce([values]), {
			code: "failed_precondition",
			message: /"accuracy" is a MetricReducer, but an earlier run committed partials of the other kind/,
		});
		assert.deepEqual(registry.reduce([create(StoredPartialSchema, { reducer: "gone", valueJson: "1" })]).results, {});
	});
});
