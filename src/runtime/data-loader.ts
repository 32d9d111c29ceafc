import { MillraceError } from "../errors.js";
import { type Dataset, loadRecords } from "./dataset.js";
import type { ShardBatch } from "./sharding.js";

/** How the records of a batch are loaded. Python: dataloader_kwargs */
export interface DataLoaderOptions<T = unknown, B = T[]> {
	/** Makes the batch that processBatch gets of its records. Default: the records in an array. */
	collate?: ((items: readonly T[], indices: readonly number[]) => B | Promise<B>) | undefined;
	/** How many batches are loaded ahead while one is processed. Default 2; 0 loads each when it is asked for. */
	prefetch?: number | undefined;
}

/** A batch that is being loaded. */
export interface LoadingBatch<B> extends ShardBatch {
	/** What `collate` makes of the records. Rejects with the error of the data set or of `collate`. */
	readonly loaded: Promise<B>;
}

const DEFAULT_PREFETCH = 2;

const EVERY_RECORD = "every record is processed, once and in order";

const REFUSED: Record<string, string> = {
	shuffle: EVERY_RECORD,
	sampler: EVERY_RECORD,
	batchSampler: EVERY_RECORD,
	dropLast: EVERY_RECORD,
	batchSize: "it is an option of batchProcess",
};

/**
 * Checks the option `dataLoader` of batchProcess, which may come from code without types.
 *
 * Errors: invalid_argument for an option that changes which records are processed (shuffle, sampler,
 * batchSampler, dropLast), for batchSize, for one that is unknown, and for a prefetch that is not a
 * non-negative integer.
 */
export function checkDataLoaderOptions(options: object | undefined): void {
	if (options === undefined) return;
	if (typeof options !== "object" || options === null) {
		throw new MillraceError("invalid_argument", "dataLoader must be an object with collate and prefetch");
	}
	for (const [name, value] of Object.entries(options)) {
		const reason = REFUSED[name];
		if (reason !== undefined) {
			throw new MillraceError("invalid_argument", `dataLoader.${name} cannot be set: ${reason}`);
		}
		if (name !== "collate" && name !== "prefetch") {
			throw new MillraceError("invalid_argument", `dataLoader.${name} is unknown: there are collate and prefetch`);
		}
		if (value === undefined) continue;
		if (name === "collate" && typeof value !== "function") {
			throw new MillraceError("invalid_argument", "dataLoader.collate must be a function");
		}
		if (name === "prefetch" && !(Number.isSafeInteger(value) && value >= 0)) {
			throw new MillraceError(
				"invalid_argument",
				`dataLoader.prefetch is ${String(value)}: it must be a non-negative integer`,
			);
		}
	}
}

/**
 * Loads batches, in order, up to `prefetch` of them ahead of the one that the consumer has.
 *
 * An error of the data set or of collate rejects its own batch, and no other one.
 * Who stops early starts no further loading and leaves no rejection behind.
 */
export async function* loadBatches<T, B = T[]>(
	dataset: Dataset<T>,
	batches: Iterable<ShardBatch>,
	options: DataLoaderOptions<T, B> = {},
): AsyncGenerator<LoadingBatch<B>, void, undefined> {
	const prefetch = options.prefetch ?? DEFAULT_PREFETCH;
	const upcoming = batches[Symbol.iterator]();
	const loading: LoadingBatch<B>[] = [];
	let isStopped = false;

	function startNext(): boolean {
		const next = upcoming.next();
		if (next.done === true) return false;
		const load = async (): Promise<B> => {
			// Loading may be synchronous: the consumer shall get its batch, and start the model or its watch, first.
			await new Promise((resolve) => setImmediate(resolve));
			if (isStopped) throw new MillraceError("cancelled", "loading was stopped");
			return loadBatch(dataset, next.value.indices, options.collate);
		};
		const loaded = load();
		loaded.catch(() => {});
		loading.push({ ...next.value, loaded });
		return true;
	}

	try {
		for (;;) {
			if (loading.length === 0 && !startNext()) return;
			const current = loading.shift() as LoadingBatch<B>;
			while (loading.length < prefetch && startNext()) {}
			yield current;
		}
	} finally {
		isStopped = true;
		upcoming.return?.();
	}
}

/** Loads the records of `indices` as one batch. Throws what the data set or collate throws. */
export async function loadBatch<T, B>(
	dataset: Dataset<T>,
	indices: readonly number[],
	collate: DataLoaderOptions<T, B>["collate"],
): Promise<B> {
	const items = await loadRecords(dataset, indices);
	return collate === undefined ? ([...items] as B) : await collate(items, indices);
}
