/** What is remembered of one metric of a group. Numbers that JSON lacks are strings. */
export interface MetricSummary {
	/** The type of all values; `string` also where they differ. */
	type: "number" | "string" | "date" | "boolean" | "object" | "array" | "null";
	/** How many values were numbers; only for numbers, as the fields that follow. */
	count?: number;
	sum?: SummaryNumber;
	min?: SummaryNumber;
	max?: SummaryNumber;
	mean?: SummaryNumber;
	/** The value in the newest report of the group, null if that report lacks the metric. */
	last: unknown;
}

/** A number as JSON has it. */
export type SummaryNumber = number | "NaN" | "Infinity" | "-Infinity";

/** For each metric of one group, what is remembered of it. */
export type GroupSummary = Map<string, MetricSummary>;

/** For each group, for each metric, what is remembered of it. Maps, since the names are the user's. */
export type Summary = Map<string, GroupSummary>;

/** Reads a summary from the text that `writeSummary` made. */
export function parseSummary(text: string): Summary {
	const groups = Object.entries(JSON.parse(text) as Record<string, Record<string, MetricSummary>>);
	return new Map(groups.map(([group, metrics]) => [group, new Map(Object.entries(metrics))]));
}

/** Writes a summary as the text of a JSON object of objects. */
export function writeSummary(summary: Summary): string {
	return JSON.stringify(
		Object.fromEntries([...summary].map(([group, metrics]) => [group, Object.fromEntries(metrics)])),
	);
}

/** Adds the metrics of one report, the newest so far, to what is remembered of its group. */
export function foldMetrics(group: GroupSummary, metrics: Readonly<Record<string, unknown>>): void {
	for (const [name, summary] of group) {
		if (!Object.hasOwn(metrics, name)) {
			summary.last = null;
		}
	}
	for (const [name, value] of Object.entries(metrics)) {
		group.set(name, foldValue(group.get(name), value));
	}
}

/** Sets each `last` of a group as if this report were the newest. */
export function setLast(group: GroupSummary, metrics: Readonly<Record<string, unknown>>): void {
	for (const [name, summary] of group) {
		summary.last = Object.hasOwn(metrics, name) ? metrics[name] : null;
	}
}

function foldValue(before: MetricSummary | undefined, value: unknown): MetricSummary {
	const type = typeOf(value);
	if (before !== undefined && before.type !== type) {
		return { type: "string", last: value };
	}
	if (type !== "number") {
		return { type, last: value };
	}
	const number = Number(value);
	const count = (before?.count ?? 0) + 1;
	const sum = Number(before?.sum ?? 0) + number;
	return {
		type,
		count,
		sum: toSummaryNumber(sum),
		min: toSummaryNumber(Math.min(Number(before?.min ?? Number.POSITIVE_INFINITY), number)),
		max: toSummaryNumber(Math.max(Number(before?.max ?? Number.NEGATIVE_INFINITY), number)),
		mean: toSummaryNumber(sum / count),
		last: value,
	};
}

const dateTime = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})?$/;

function typeOf(value: unknown): MetricSummary["type"] {
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

function toSummaryNumber(value: number): SummaryNumber {
	return Number.isFinite(value) ? value : (String(value) as SummaryNumber);
}
