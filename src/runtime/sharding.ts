/** Records first, first + 1, … end - 1. */
export interface RecordSpan {
	readonly first: number;
	readonly end: number;
}

/** One batch of one worker. */
export interface ShardBatch {
	/** The step of this run, from 0: the number of batches that this worker had before. */
	readonly step: number;
	/** The records, ascending. */
	readonly indices: readonly number[];
	/** The same records as ranges, ascending; more than one where the batch spans a gap. */
	readonly ranges: readonly RecordSpan[];
}

/** A worker's share of what is left. */
export interface Shard {
	/** The number of records that are left, of all workers. */
	readonly recordCount: number;
	/** The number of batches that are left, of all workers. */
	readonly batchCount: number;
	/** The number of steps that every worker goes through. In the last one a worker may have no batch. */
	readonly stepCount: number;
	/** Returns this worker's batches in order. Each call begins anew. */
	batches(): IterableIterator<ShardBatch>;
}

/**
 * Divides what is left among the workers: batch b is the records at b * batchSize, b * batchSize + 1, … of
 * the ranges of `left` put behind each other, and belongs to rank b mod size. The last batch may be
 * smaller. Costs a walk over the ranges, not over the records.
 *
 * `left` is ascending and without overlap; `batchSize` and `size` are positive, `rank` is below `size`.
 */
export function shard(options: { left: readonly RecordSpan[]; batchSize: number; rank: number; size: number }): Shard {
	const { left, batchSize, rank, size } = options;
	const recordCount = countRecords(left);
	const batchCount = Math.ceil(recordCount / batchSize);
	const stepCount = Math.ceil(batchCount / size);
	return {
		recordCount,
		batchCount,
		stepCount,
		*batches() {
			let at = 0;
			let rangesBefore = 0;
			for (let batch = rank; batch < batchCount; batch += size) {
				const begin = batch * batchSize;
				const end = Math.min(begin + batchSize, recordCount);
				while (at < left.length && rangesBefore + lengthOf(left[at]) <= begin) {
					rangesBefore += lengthOf(left[at]);
					at++;
				}
				const ranges = slice(left, at, begin - rangesBefore, end - begin);
				yield { step: (batch - rank) / size, indices: indicesOf(ranges), ranges };
			}
		},
	};
}

/** Returns the same records as ascending ranges that neither overlap nor touch. */
export function mergeRanges(ranges: readonly RecordSpan[]): RecordSpan[] {
	const merged: { first: number; end: number }[] = [];
	for (const { first, end } of [...ranges].sort((a, b) => a.first - b.first)) {
		if (end <= first) continue;
		const last = merged.at(-1);
		if (last !== undefined && first <= last.end) last.end = Math.max(last.end, end);
		else merged.push({ first, end });
	}
	return merged;
}

/** Returns the number of records in ranges that do not overlap. */
export function countRecords(ranges: readonly RecordSpan[]): number {
	return ranges.reduce((sum, range) => sum + lengthOf(range), 0);
}

/** `count` records, from `offset` records into range `at` on. */
function slice(left: readonly RecordSpan[], at: number, offset: number, count: number): RecordSpan[] {
	const ranges: RecordSpan[] = [];
	let skip = offset;
	let wanted = count;
	for (let i = at; wanted > 0; i++) {
		const range = left[i];
		if (range === undefined) break;
		const first = range.first + skip;
		const end = Math.min(first + wanted, range.end);
		if (end > first) ranges.push({ first, end });
		wanted -= Math.max(0, end - first);
		skip = 0;
	}
	return mergeRanges(ranges);
}

function indicesOf(ranges: readonly RecordSpan[]): number[] {
	return ranges.flatMap(({ first, end }) => Array.from({ length: end - first }, (_, i) => first + i));
}

function lengthOf(range: RecordSpan | undefined): number {
	return range === undefined ? 0 : range.end - range.first;
}
