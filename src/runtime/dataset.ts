import { isMillraceError, MillraceError, messageOf } from "../errors.js";

/**
 * What batchProcess goes through: records 0, 1, … length - 1. Any record may be asked for at any time, more
 * than once, and by several workers. Python: torch.utils.data.Dataset
 */
export interface Dataset<T> {
	/** The number of records. */
	readonly length: number;
	/** Returns record `i`. The records of a batch are asked for together. */
	get(i: number): T | Promise<T>;
	/** Names the content. A later run of the trial over another version is refused. Default: none. */
	readonly version?: string | undefined;
	/** Returns several records at once, in the order of `indices`. Default: a call of `get` for each. */
	getBatch?(indices: readonly number[]): readonly T[] | Promise<readonly T[]>;
}

/**
 * Returns the data set that `value` is: an array is the data set of its items.
 *
 * Errors: invalid_argument if it is neither, if its length is not a non-negative integer, or if its version
 * is not a string.
 */
export function toDataset<T>(value: Dataset<T> | readonly T[]): Dataset<T> {
	if (Array.isArray(value)) {
		const items: readonly T[] = value;
		return { length: items.length, get: (i) => items[i] as T };
	}
	const dataset = value as Dataset<T>;
	if (isThenable(dataset)) {
		throw new MillraceError(
			"invalid_argument",
			"the data set is a promise: await it, or give a function that returns it",
		);
	}
	// A Map has a get, but not by number.
	if (typeof dataset !== "object" || dataset === null || typeof dataset.get !== "function" || isIterable(dataset)) {
		const advice = isIterable(dataset) ? "; make an array of it, as in [...items]" : "";
		throw new MillraceError(
			"invalid_argument",
			`the data set is ${described(dataset)}: it must be an array or an object with length and get(i)${advice}`,
		);
	}
	const { length, version } = dataset;
	if (!Number.isSafeInteger(length) || length < 0) {
		throw new MillraceError(
			"invalid_argument",
			`the data set's length is ${String(length)}: it must be a non-negative integer`,
		);
	}
	if (version !== undefined && typeof version !== "string") {
		throw new MillraceError("invalid_argument", `the data set's version is ${String(version)}: it must be a string`);
	}
	return dataset;
}

/**
 * Loads the records of `indices`, in their order.
 *
 * Errors: what the data set threw, as the cause of an error that names the record; it keeps the code of a
 * MillraceError, else it is `unknown`.
 */
export async function loadRecords<T>(dataset: Dataset<T>, indices: readonly number[]): Promise<readonly T[]> {
	if (dataset.getBatch !== undefined) return loadTogether(dataset.getBatch.bind(dataset), indices);
	const loading: (T | Promise<T>)[] = [];
	for (const i of indices) {
		try {
			const item = dataset.get(i);
			loading.push(isThenable(item) ? namingRecord(i, item) : item);
		} catch (error) {
			// What is already loading may fail too, after nobody waits for it any more.
			Promise.allSettled(loading);
			throw recordError(i, error);
		}
	}
	return Promise.all(loading);
}

async function namingRecord<T>(i: number, item: PromiseLike<T>): Promise<T> {
	try {
		return await item;
	} catch (error) {
		throw recordError(i, error);
	}
}

async function loadTogether<T>(
	getBatch: (indices: readonly number[]) => readonly T[] | Promise<readonly T[]>,
	indices: readonly number[],
): Promise<readonly T[]> {
	let items: readonly T[];
	try {
		items = await getBatch(indices);
	} catch (error) {
		throw loadError(describe(indices), error);
	}
	if (!Array.isArray(items) || items.length !== indices.length) {
		const given = Array.isArray(items) ? `${items.length} items` : typeof items;
		throw new MillraceError(
			"invalid_argument",
			`getBatch of the data set gave ${given} for ${indices.length} indices: it must give one item for each`,
		);
	}
	return items;
}

function isThenable<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
	return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}

/** Tells a Set, a Map, a typed array or a generator; a data set may be iterable too, if it has a length. */
function isIterable(value: unknown): boolean {
	if (typeof value !== "object" || value === null || !(Symbol.iterator in value)) return false;
	return !("get" in value && "length" in value);
}

function described(value: unknown): string {
	if (typeof value === "object" && value !== null) return `of the class ${value.constructor?.name || "Object"}`;
	return typeof value === "string" ? "a text" : String(value);
}

function describe(indices: readonly number[]): string {
	if (indices.length === 1) return `record ${indices[0]}`;
	return `${indices.length} records from ${indices[0]} to ${indices.at(-1)}`;
}

function recordError(i: number, error: unknown): MillraceError {
	return loadError(`record ${i}`, error);
}

function loadError(what: string, error: unknown): MillraceError {
	const code = isMillraceError(error) ? error.code : "unknown";
	return new MillraceError(code, `could not load ${what} of the data set: ${messageOf(error)}`, { cause: error });
}
