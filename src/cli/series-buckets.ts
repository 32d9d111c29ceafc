/** The values of neighbouring steps. */
export interface SeriesPoint {
	/** The first of the steps. */
	readonly fromX: number;
	/** The last of the steps. */
	readonly toX: number;
	readonly min: number;
	readonly max: number;
	/** The value of the first step and of the last one. */
	readonly first: number;
	readonly last: number;
}

type Bucket = { -readonly [K in keyof SeriesPoint]: number };

/** More points than the widest terminal has dots for. */
const mostBuckets = 1_024;

/**
 * A series of values by steps, of which no more is kept than a chart can show: where there are too many, neighbouring
 * steps share a bucket, which keeps the smallest and the largest of their values.
 */
export class SeriesBuckets {
	#stepsEach = 1;
	#count = 0;
	#buckets = new Map<number, Bucket>();

	/** Takes the next value. One without a step comes after those before it. */
	add(step: number | null, value: number): void {
		this.#count += 1;
		const x = step ?? this.#count;
		this.#put({ fromX: x, toX: x, min: value, max: value, first: value, last: value });
	}

	/** Takes all values of another series. */
	merge(other: SeriesBuckets): void {
		this.#count += other.#count;
		while (this.#stepsEach < other.#stepsEach) {
			this.#widen();
		}
		for (const bucket of other.#buckets.values()) {
			this.#put({ ...bucket });
		}
	}

	/** In the order of the steps. */
	get points(): SeriesPoint[] {
		return [...this.#buckets.values()].sort((one, other) => one.fromX - other.fromX);
	}

	#put(bucket: Bucket): void {
		const key = Math.floor(bucket.fromX / this.#stepsEach);
		const known = this.#buckets.get(key);
		if (known === undefined) {
			this.#buckets.set(key, bucket);
		} else {
			if (bucket.fromX < known.fromX) {
				[known.fromX, known.first] = [bucket.fromX, bucket.first];
			}
			if (bucket.toX >= known.toX) {
				[known.toX, known.last] = [bucket.toX, bucket.last];
			}
			known.min = Math.min(known.min, bucket.min);
			known.max = Math.max(known.max, bucket.max);
		}
		while (this.#buckets.size > mostBuckets) {
			this.#widen();
		}
	}

	#widen(): void {
		const narrow = this.#buckets;
		this.#buckets = new Map();
		this.#stepsEach *= 2;
		for (const bucket of narrow.values()) {
			this.#put(bucket);
		}
	}
}
