import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { checkDataLoaderOptions, loadBatches } from "../../src/runtime/data-loader.js";
import { toDataset } from "../../src/runtime/dataset.js";
import { shard } from "../../src/runtime/sharding.js";
import { waitUntil } from "../support/wait-until.js";

const batchesOf = (length: number, batchSize: number) =>
	shard({ left: [{ first: 0, end: length }], batchSize, rank: 0, size: 1 }).batches();

/** A data set that says which records were asked for. */
function watched(length: number, get: (i: number) => number | Promise<number> = (i) => i) {
	const asked: number[] = [];
	return {
		length,
		asked,
		get(i: number) {
			asked.push(i);
			return get(i);
		},
	};
}

async function turns(count: number): Promise<void> {
	for (let i = 0; i < count; i++) await turn();
}

describe("checkDataLoaderOptions", () => {
	it("accepts collate and prefetch", () => {
		checkDataLoaderOptions(undefined);
		checkDataLoaderOptions({});
		checkDataLoaderOptions({ collate: (items: readonly unknown[]) => items, prefetch: 0 });
	});

	it("refuses what would change which records are processed, and says why", () => {
		const refuses = (options: object, message: string) =>
			assert.throws(() => checkDataLoaderOptions(options), { code: "invalid_argument", message });
		for (const name of ["shuffle", "sampler", "batchSampler", "dropLast"]) {
			refuses({ [name]: false }, `dataLoader.${name} cannot be set: every record is processed, once and in order`);
		}
		refuses({ batchSize: 4 }, "dataLoader.batchSize cannot be set: it is an option of batchProcess");
		refuses({ numWorkers: 4 }, "dataLoader.numWorkers is unknown: there are collate and prefetch");
		refuses({ collate: 1 }, "dataLoader.collate must be a function");
		for (const prefetch of [-1, 1.5, "2"]) {
			refuses({ prefetch }, `dataLoader.prefetch is ${prefetch}: it must be a non-negative integer`);
		}
	});
});

describe("loadBatches", { timeout: 30_000 }, () => {
	it("gives the batches in order, with their records", async () => {
		const seen = [];
		for await (const { loaded, ...batch } of loadBatches(toDataset(["a", "b", "c"]), batchesOf(3, 2))) {
			seen.push({ ...batch, batch: await loaded });
		}
		assert.deepEqual(seen, [
			{ step: 0, indices: [0, 1], range: { first: 0, end: 2 }, batch: ["a", "b"] },
			{ step: 1, indices: [2], range: { first: 2, end: 3 }, batch: ["c"] },
		]);
	});

	it("collates items and indices, also asynchronously", async () => {
		const collate = async (items: readonly number[], indices: readonly number[]) => `${items}/${indices}`;
		const seen = [];
		for await (const { loaded } of loadBatches(
			watched(3, (i) => i * 10),
			batchesOf(3, 2),
			{ collate },
		))
			seen.push(await loaded);
		assert.deepEqual(seen, ["0,10/0,1", "20/2"]);
	});

	it("loads ahead while a batch is processed, and no further than prefetch", async () => {
		for (const [prefetch, ahead] of [
			[0, 0],
			[1, 1],
			[3, 3],
			[undefined, 2],
		] as const) {
			const dataset = watched(20);
			const loader = loadBatches(dataset, batchesOf(20, 1), { prefetch });
			for (let step = 0; step < 5; step++) {
				await loader.next();
				await waitUntil("the batches ahead", () => dataset.asked.length === step + 1 + ahead);
				await turns(20);
				assert.equal(dataset.asked.length, step + 1 + ahead);
			}
			await loader.return();
		}
	});

	it("hands a batch over before it begins a synchronous load ahead", async () => {
		const dataset = watched(4);
		const loader = loadBatches(dataset, batchesOf(4, 1), { prefetch: 1 });
		await (await loader.next()).value?.loaded;
		assert.deepEqual(dataset.asked, [0]);
		await (await loader.next()).value?.loaded;
		assert.deepEqual(dataset.asked, [0, 1]);
		await loader.return();
	});

	it("keeps the order when a later batch is ready first", async () => {
		let finishFirst = () => {};
		const first = new Promise<number>((resolve) => {
			finishFirst = () => resolve(0);
		});
		const dataset = watched(3, (i) => (i === 0 ? first : i));
		const loader = loadBatches(dataset, batchesOf(3, 1));
		const next = loader.next();
		await waitUntil("all loads to start", () => dataset.asked.length === 3);
		finishFirst();
		assert.deepEqual(await (await next).value?.loaded, [0]);
		assert.deepEqual(await (await loader.next()).value?.loaded, [1]);
		await loader.return();
	});

	it("gives an error to its own batch, and goes on with the others", async () => {
		const dataset = watched(6, (i) => {
			if (i === 2) throw new Error("bad record");
			return i;
		});
		const seen: (number | string)[] = [];
		for await (const { loaded } of loadBatches(dataset, batchesOf(6, 1), { prefetch: 4 })) {
			await turns(5);
			seen.push(...(await loaded.catch((error: Error) => [error.message])));
		}
		assert.deepEqual(seen, [0, 1, "could not load record 2 of the data set: bad record", 3, 4, 5]);
	});

	it("leaves no rejection behind when the consumer stops early, and starts nothing more", async () => {
		const unhandled: unknown[] = [];
		const note = (error: unknown) => unhandled.push(error);
		process.on("unhandledRejection", note);
		const dataset = watched(20, async (i) => {
			await turns(3);
			if (i > 0) throw new Error("bad record");
			return i;
		});
		for await (const _ of loadBatches(dataset, batchesOf(20, 1), { prefetch: 3 })) break;
		const asked = dataset.asked.length;
		await turns(50);
		process.off("unhandledRejection", note);
		assert.deepEqual(unhandled, []);
		assert.equal(dataset.asked.length, asked);
	});
});
