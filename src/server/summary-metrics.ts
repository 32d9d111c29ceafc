import { ExactSum } from "./exact-sum.js";

/** The metrics of one report, by the reporter's names. */
export type Metrics = Readonly<Record<string, unknown>>;

/** The type of a metric's values. */
export type MetricType = "number" | "string" | "date" | "boolean" | "object" | "array" | "null";

/** What is remembered of one metric of a group. None of it depends on the order of the reports. */
export interface MetricSummary {
	/** The type of all values; `string` also where they differ. */
	type: MetricType;
	/** How many values there are. */
	count: number;
	/** Of numbers. */
	numbers?: NumberSummary;
	/** The value in the newest report of the group, null if that report lacks the metric. */
	last: unknown;
}

/** What is remembered of numbers. */
export interface NumberSummary {
	/** The smallest, NaN if one is NaN. */
	min: number;
	/** The largest, NaN if one is NaN. */
	max: number;
	/** The sum of those that are finite. */
	readonly finite: ExactSum;
	/** The sum of those that are not; 0 if all are. */
	rest: number;
}

/** What is remembered of one group. */
export interface GroupSummary {
	/** Of each metric. A map, since the names are the user's. */
	readonly metrics: Map<string, MetricSummary>;
	/** When the newest report was made, and its id. */
	newest: readonly [endTime: number, id: number];
	/** Whether a report names what it is about. */
	isSourced: boolean;
}

/** What is remembered of each group. */
export type Summary = Map<string, GroupSummary>;

/** A report as it is stored now, and what of it is new to the summary. */
export interface SummaryRow {
	readonly id: number;
	/** In milliseconds since 1970. */
	readonly endTime: number;
	/** All its metrics. */
	readonly metrics: Metrics;
	/** Those that were not there before. */
	readonly added: Metrics;
	readonly isSourced: boolean;
}

/** Returns the summary of a group, which is made where it is missing. */
export function groupOf(summary: Summary, name: string): GroupSummary {
	let group = summary.get(name);
	if (group === undefined) {
		group = emptyGroup();
		summary.set(name, group);
	}
	return group;
}

/** Returns the summary of no report. */
export function emptyGroup(): GroupSummary {
	return { metrics: new Map(), newest: [Number.NEGATIVE_INFINITY, 0], isSourced: false };
}

/** Adds reports, in any order, to what is remembered of their group. */
export function foldRows(group: GroupSummary, rows: readonly SummaryRow[]): void {
	let newest: Metrics | undefined;
	for (const { id, endTime, metrics, added, isSourced } of rows) {
		for (const [name, value] of Object.entries(added)) {
			group.metrics.set(name, foldValue(group.metrics.get(name), value));
		}
		group.isSourced ||= isSourced;
		// One that was the newest may have become more.
		if (!isBefore([endTime, id], group.newest)) {
			group.newest = [endTime, id];
			newest = metrics;
		}
	}
	if (newest !== undefined) {
		for (const [name, metric] of group.metrics) {
			metric.last = Object.hasOwn(newest, name) ? newest[name] : null;
		}
	}
}

/** Returns the summary of the reports of several: one group's in several trials. */
export function joinGroups(groups: Iterable<GroupSummary>): GroupSummary {
	const joined = emptyGroup();
	for (const group of groups) {
		const isNewer = isBefore(joined.newest, group.newest);
		for (const [name, metric] of group.metrics) {
			joined.metrics.set(name, joinMetrics(joined.metrics.get(name), metric));
		}
		if (isNewer) {
			joined.newest = group.newest;
			for (const [name, metric] of joined.metrics) {
				metric.last = group.metrics.get(name)?.last ?? null;
			}
		}
		joined.isSourced ||= group.isSourced;
	}
	return joined;
}

/** Returns the sum of a metric's numbers. */
export function sumOf({ finite, rest }: NumberSummary): number {
	return rest === 0 ? finite.toNumber() : rest;
}

function isBefore(a: GroupSummary["newest"], b: GroupSummary["newest"]): boolean {
	return a[0] < b[0] || (a[0] === b[0] && a[1] < b[1]);
}

function foldValue(before: MetricSummary | undefined, value: unknown): MetricSummary {
	const type = typeOf(value);
	const metric = before ?? { type, count: 0, last: null };
	metric.count++;
	if (metric.type !== type) {
		metric.type = "string";
		delete metric.numbers;
	} else if (type === "number") {
		metric.numbers ??= noNumbers();
		addNumber(metric.numbers, Number(value));
	}
	return metric;
}

function joinMetrics(before: MetricSummary | undefined, { type, count, numbers }: MetricSummary): MetricSummary {
	const metric = before ?? { type, count: 0, last: null };
	metric.count += count;
	if (metric.type !== type) {
		metric.type = "string";
		delete metric.numbers;
	} else if (numbers !== undefined) {
		metric.numbers ??= noNumbers();
		metric.numbers.min = Math.min(metric.numbers.min, numbers.min);
		metric.numbers.max = Math.max(metric.numbers.max, numbers.max);
		metric.numbers.finite.addSum(numbers.finite);
		metric.numbers.rest += numbers.rest;
	}
	return metric;
}

function noNumbers(): NumberSummary {
	return { min: Number.POSITIVE_INFINITY, max: Number.NEGATIVE_INFINITY, finite: new ExactSum(), rest: 0 };
}

function addNumber(numbers: NumberSummary, value: number): void {
	numbers.min = Math.min(numbers.min, value);
	numbers.max = Math.max(numbers.max, value);
	if (Number.isFinite(value)) {
		numbers.finite.add(value);
	} else {
		numbers.rest += value;
	}
}

const dateTime = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})?$/;

function typeOf(value: unknown): MetricType {
	if (value === null) {
		return "null";
	}
	if (Array.isArray(value)) {
		return "array";
	}
	if (typeof value === "string") {
		if (value === "NaN" || value === "Infinity" || value === "-Infinity") {
			return "number";
		}
		return dateTime.test(value) ? "date" : "string";
	}
	return typeof value as "number" | "boolean" | "object";
}
