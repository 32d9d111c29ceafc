import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MillraceError } from "../../src/errors.js";
import { type Dataset, loadRecords, toDataset } from "../../src/runtime/dataset.js";

describe("toDataset", () => {
	it("makes an array a data set, and keeps a data set", async () => {
		const dataset = toDataset(["a", "b"]);
		assert.equal(dataset.length, 2);
		assert.equal(await dataset.get(1), "b");
		const own = { length: 1, get: () => 7, version: "v1" };
		assert.equal(toDataset(own), own);
	});

	it("refuses what is no data set, naming what is wrong", () => {
		const refuses = (value: unknown, message: string) =>
			assert.throws(() => toDataset(value as Dataset<number>), { code: "invalid_argument", message });
		const wanted = "it must be an array or an object with length and get(i)";
		refuses(null, `the data set is null: ${wanted}`);
		refuses("abc", `the data set is a text: ${wanted}`);
		refuses({ length: 3 }, `the data set is of the class Object: ${wanted}`);
		refuses(new Set([1]), `the data set is of the class Set: ${wanted}; make an array of it, as in [...items]`);
		refuses(new Map(), `the data set is of the class Map: ${wanted}; make an array of it, as in [...items]`);
		refuses(
			new Float32Array(2),
			`the data set is of the class Float32Array: ${wanted}; make an array of it, as in [...items]`,
		);
		refuses(Promise.resolve([]), "the data set is a promise: await it, or give a function that returns it");
		const wrongLength = (length: string) => `the data set's length is ${length}: it must be a non-negative integer`;
		refuses({ length: -1, get() {} }, wrongLength("-1"));
		refuses({ length: 2.5, get() {} }, wrongLength("2.5"));
		refuses({ get() {} }, wrongLength("undefined"));
		refuses({ length: 1, get() {}, version: 3 }, "the data set's version is 3: it must be a string");
	});
});

describe("loadRecords", () => {
	it("loads in the order of the indices, whoever is ready first", async () => {
		const resolvers: (() => void)[] = [];
		const dataset = {
			length: 3,
			get: (i: number) => new Promise<number>((resolve) => resolvers.push(() => resolve(i * 10))),
		};
		const loading = loadRecords(dataset, [2, 0, 1]);
		for (const resolve of resolvers.reverse()) resolve();
		assert.deepEqual(await loading, [20, 0, 10]);
	});

	it("uses getBatch where there is one, as a method", async () => {
		const dataset = {
			length: 3,
			factor: 10,
			get: () => assert.fail("get is not to be called"),
			getBatch(indices: readonly number[]) {
				return indices.map((i) => i * this.factor);
			},
		};
		assert.deepEqual(await loadRecords(dataset, [1, 2]), [10, 20]);
	});

	it("names the record whose get fails, and keeps the cause", async () => {
		const cause = new Error("disk on fire");
		for (const get of [
			(i: number) => {
				if (i === 7) throw cause;
				return i;
			},
			async (i: number) => {
				if (i === 7) throw cause;
				return i;
			},
		]) {
			await assert.rejects(loadRecords({ length: 9, get }, [6, 7, 8]), {
				code: "unknown",
				message: "could not load record 7 of the data set: disk on fire",
				cause,
			});
		}
	});

	it("keeps the code of an error on purpose", async () => {
		const get = () => {
			throw new MillraceError("not_found", "no such image");
		};
		await assert.rejects(loadRecords({ length: 1, get }, [0]), { code: "not_found" });
	});

	it("refuses a getBatch that gives another number of items, and names the records of one that fails", async () => {
		const dataset = { length: 9, get: () => 0, getBatch: () => [1] };
		await assert.rejects(loadRecords(dataset, [0, 1]), {
			code: "invalid_argument",
			message: "getBatch of the data set gave 1 items for 2 indices: it must give one item for each",
		});
		const failing = { ...dataset, getBatch: () => Promise.reject(new Error("gone")) };
		await assert.rejects(loadRecords(failing, [3, 4, 8]), {
			message: "could not load 3 records from 3 to 8 of the data set: gone",
		});
	});
});
