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
	/** The same records as a range. */
	readonly range: RecordSpan;
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
 * Divides what is left among the workers. Each range of `left` is cut into batches of `batchSize` records, the
 * last of a range may be smaller, and batch b of them all belongs to rank b mod size. No batch spans a gap, so
 * batches in the order of their first records are in the order of all their records. Costs a walk over the
 * ranges, not over the records.
 *
 * `left` is ascending and without overlap, and its ranges do not touch; `batchSize` and `size` are positive,
 * `rank` is below `size`.
 */
export function shard(options: { left: readonly RecordSpan[]; batchSize: number; rank: number; size: number }): Shard {
	const { left, batchSize, rank, size } = options;
	const batchesIn = (range: RecordSpan) => Math.ceil(lengthOf(range) / batchSize);
	const batchCount = left.reduce((sum, range) => sum + batchesIn(range), 0);
	return {
		recordCount: countRecords(left),
		batchCount,
		stepCount: Math.ceil(batchCount / size),
		*batches() {
			let batch = rank;
			let batchesBefore = 0;
			for (const range of left) {
				const batchesUpTo = batchesBefore + batchesIn(range);
				for (; batch < batchesUpTo; batch += size) {
					const first = range.first + (batch - batchesBefore) * batchSize;
					const end = Math.min(first + batchSize, range.end);
					const indices = Array.from({ length: end - first }, (_, i) => first + i);
					yield { step: (batch - rank) / size, indices, range: { first, end } };
				}
				batchesBefore = batchesUpTo;
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

function lengthOf(range: RecordSpan): number {
	return range.end - range.first;
}
