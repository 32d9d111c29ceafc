import type { JsonObject, JsonValue, TrialMetrics } from "../sdk/index.js";
import { SeriesBuckets, type SeriesPoint } from "./series-buckets.js";

/** More lines than this in one chart cannot be told apart. */
export const mostSeries = 6;

/** The values of one metric that a trial, or one of its ranks, reported. */
export interface MetricSeries {
	readonly trialId: number;
	/** The rank; null where ranks are taken together, or no rank was reported. */
	readonly rank: number | null;
	/** In the order of their steps. */
	readonly points: readonly SeriesPoint[];
}

/** The series of one metric. */
export interface MetricChart {
	readonly group: string;
	/** The metric's name, with dots where it is nested. */
	readonly name: string;
	/** At most `mostSeries`. */
	readonly series: readonly MetricSeries[];
	/** Whether the ranks of a trial are taken together, as there would be too many series else. */
	readonly isFolded: boolean;
	/** How many trials are left out, as there are more than `mostSeries`. */
	readonly trialsLeftOut: number;
	/** How many values are NaN or infinite, and have no place in a chart. */
	readonly nonFinite: number;
}

/** Returns the numbers of a report with their names: dots lead into objects. */
export function* numbersOf(metrics: JsonObject, prefix = ""): Generator<[name: string, value: number]> {
	for (const [key, value] of Object.entries(metrics)) {
		if (typeof value === "number") {
			yield [prefix + key, value];
		} else if (typeof value === "object" && value !== null && !Array.isArray(value)) {
			yield* numbersOf(value, `${prefix}${key}.`);
		}
	}
}

/** Returns a metric by its name, in which dots may lead into objects; undefined if a report lacks it. */
export function metricOf(metrics: JsonObject, name: string): JsonValue | undefined {
	if (Object.hasOwn(metrics, name)) {
		return metrics[name];
	}
	for (const [key, value] of Object.entries(metrics)) {
		if (name.startsWith(`${key}.`) && typeof value === "object" && value !== null && !Array.isArray(value)) {
			const inner = metricOf(value, name.slice(key.length + 1));
			if (inner !== undefined) {
				return inner;
			}
		}
	}
	return undefined;
}

/** Takes reports one after the other, and keeps of each metric no more than a chart shows. */
export class MetricSeriesCollector {
	readonly #names: readonly string[] | undefined;
	readonly #metrics = new Map<string, OneMetric>();

	/** @param names Only these metrics. Default: all that are numbers. */
	constructor(names?: readonly string[]) {
		this.#names = names;
	}

	/** Takes the next report. */
	add(report: TrialMetrics): void {
		if (this.#names === undefined) {
			for (const [name, value] of numbersOf(report.metrics)) {
				this.#metric(report.group, name).add(report, value);
			}
			return;
		}
		for (const name of this.#names) {
			const value = metricOf(report.metrics, name);
			if (typeof value === "number") {
				this.#metric(report.group, name).add(report, value);
			}
		}
	}

	/** The chart of each metric, in the order in which they were reported first. */
	get charts(): MetricChart[] {
		return [...this.#metrics.values()].map((metric) => metric.chart);
	}

	#metric(group: string, name: string): OneMetric {
		const key = JSON.stringify([group, name]);
		const metric = this.#metrics.get(key) ?? new OneMetric(group, name);
		this.#metrics.set(key, metric);
		return metric;
	}
}

/** What is kept of one metric: by trial and rank, until that would be too many series; then by trial. */
class OneMetric {
	readonly #trials = new Map<number, Map<number | null, SeriesBuckets>>();
	readonly #leftOut = new Set<number>();
	readonly #group: string;
	readonly #name: string;
	#isFolded = false;
	#nonFinite = 0;

	constructor(group: string, name: string) {
		this.#group = group;
		this.#name = name;
	}

	add({ trialId, rank, stepsCompleted }: TrialMetrics, value: number): void {
		if (!Number.isFinite(value)) {
			this.#nonFinite += 1;
			return;
		}
		let ranks = this.#trials.get(trialId);
		if (ranks === undefined) {
			if (this.#trials.size === mostSeries) {
				this.#leftOut.add(trialId);
				return;
			}
			ranks = new Map();
			this.#trials.set(trialId, ranks);
		}
		const key = this.#isFolded ? null : (rank ?? null);
		const buckets = ranks.get(key) ?? new SeriesBuckets();
		buckets.add(stepsCompleted, value);
		if (!ranks.has(key)) {
			ranks.set(key, buckets);
			this.#foldIfMany();
		}
	}

	get chart(): MetricChart {
		const series = [...this.#trials].flatMap(([trialId, ranks]) =>
			[...ranks].map(([rank, buckets]) => ({ trialId, rank, points: buckets.points })),
		);
		series.sort((one, other) => one.trialId - other.trialId || (one.rank ?? -1) - (other.rank ?? -1));
		return {
			...{ group: this.#group, name: this.#name, series, isFolded: this.#isFolded },
			...{ trialsLeftOut: this.#leftOut.size, nonFinite: this.#nonFinite },
		};
	}

	#foldIfMany(): void {
		const count = [...this.#trials.values()].reduce((sum, ranks) => sum + ranks.size, 0);
		if (count <= mostSeries || this.#isFolded) {
			return;
		}
		this.#isFolded = true;
		for (const ranks of this.#trials.values()) {
			const all = new SeriesBuckets();
			for (const buckets of ranks.values()) {
				all.merge(buckets);
			}
			ranks.clear();
			ranks.set(null, all);
		}
	}
}
