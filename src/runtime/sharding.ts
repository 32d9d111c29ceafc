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
 * Divides what is left among the workers. Each range of `left` is cut into batches of `batchSize` records, those
 * of `alone` into batches of one; the last of a range may be smaller, and batch b of them all belongs to rank b mod
 * size. No batch spans a gap, so batches in the order of their first records are in the order of all their records.
 * Costs a walk over the ranges, not over the records.
 *
 * `left` and `alone` are ascending and without overlap, and their ranges do not touch; those of `alone` lie in
 * `left`. `batchSize` and `size` are positive, `rank` is below `size`.
 */
export function shard(options: {
	left: readonly RecordSpan[];
	/** Default: none. */
	alone?: readonly RecordSpan[];
	batchSize: number;
	rank: number;
	size: number;
}): Shard {
	const { left, alone = [], batchSize, rank, size } = options;
	const pieces = cutOut(left, alone, batchSize);
	const batchCount = pieces.reduce((sum, piece) => sum + batchesIn(piece), 0);
	return {
		recordCount: countRecords(left),
		batchCount,
		stepCount: Math.ceil(batchCount / size),
		*batches() {
			let batch = rank;
			let batchesBefore = 0;
			for (const piece of pieces) {
				const batchesUpTo = batchesBefore + batchesIn(piece);
				for (; batch < batchesUpTo; batch += size) {
					const first = piece.first + (batch - batchesBefore) * piece.batchSize;
					const end = Math.min(first + piece.batchSize, piece.end);
					const indices = Array.from({ length: end - first }, (_, i) => first + i);
					yield { step: (batch - rank) / size, indices, range: { first, end } };
				}
				batchesBefore = batchesUpTo;
			}
		},
	};
}

/** Records of one range that are cut into batches of one size. */
interface Piece extends RecordSpan {
	readonly batchSize: number;
}

function cutOut(left: readonly RecordSpan[], alone: readonly RecordSpan[], batchSize: number): Piece[] {
	const pieces: Piece[] = [];
	let i = 0;
	for (const range of left) {
		let first = range.first;
		for (let cut = alone[i]; cut !== undefined && cut.first < range.end; cut = alone[++i]) {
			if (first < cut.first) pieces.push({ first, end: cut.first, batchSize });
			pieces.push({ ...cut, batchSize: 1 });
			first = cut.end;
		}
		if (first < range.end) pieces.push({ first, end: range.end, batchSize });
	}
	return pieces;
}

function batchesIn(piece: Piece): number {
	return Math.ceil(lengthOf(piece) / piece.batchSize);
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
