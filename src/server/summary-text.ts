import { writeJson } from "../write-json.js";
import { ExactSum } from "./exact-sum.js";
import { type GroupSummary, type MetricSummary, type MetricType, type Summary, sumOf } from "./summary-metrics.js";

/** A number as JSON has it. */
type JsonNumber = number | "NaN" | "Infinity" | "-Infinity";

/** A metric as it is stored. */
interface StoredMetric {
	readonly type: MetricType;
	readonly count: number;
	readonly last: unknown;
	readonly numbers?: {
		readonly min: JsonNumber;
		readonly max: JsonNumber;
		readonly finite: readonly [string, number];
		readonly rest: JsonNumber;
	};
}

interface StoredGroup {
	readonly newest: readonly [endTime: number, id: number];
	readonly isSourced: boolean;
	readonly metrics: Readonly<Record<string, StoredMetric>>;
}

/** Writes a summary as the text in which it is stored. */
export function writeSummary(summary: Summary): string {
	return writeJson(mapObject(summary, toStoredGroup));
}

/** Reads a summary from the text in which it is stored. */
export function parseSummary(text: string): Summary {
	const groups = Object.entries(JSON.parse(text) as Record<string, StoredGroup>);
	return new Map(groups.map(([name, group]) => [name, fromStoredGroup(group)]));
}

/** Reads the summary of one group from its part of the text in which a summary is stored. */
export function parseGroup(text: string): GroupSummary {
	return fromStoredGroup(JSON.parse(text) as StoredGroup);
}

/** Makes of the text in which a summary is stored that which is shown: without what only later reports need. */
export function shownSummary(text: string): string {
	return text === "{}"
		? text
		: writeJson(mapObject(parseSummary(text), ({ metrics }) => mapObject(metrics, toShownMetric)));
}

/** Returns a number as JSON has it. */
function toJsonNumber(value: number): JsonNumber {
	return Number.isFinite(value) ? value : (String(value) as JsonNumber);
}

function toStoredGroup({ metrics, newest, isSourced }: GroupSummary): StoredGroup {
	return { newest, isSourced, metrics: mapObject(metrics, toStoredMetric) };
}

function toStoredMetric({ type, count, last, numbers }: MetricSummary): StoredMetric {
	if (numbers === undefined) {
		return { type, count, last };
	}
	const { min, max, finite, rest } = numbers;
	return {
		...{ type, count, last },
		numbers: { min: toJsonNumber(min), max: toJsonNumber(max), finite: finite.toJSON(), rest: toJsonNumber(rest) },
	};
}

function fromStoredGroup({ newest, isSourced, metrics }: StoredGroup): GroupSummary {
	const entries = Object.entries(metrics);
	return { newest, isSourced, metrics: new Map(entries.map(([name, metric]) => [name, fromStoredMetric(metric)])) };
}

function fromStoredMetric({ type, count, last, numbers }: StoredMetric): MetricSummary {
	if (numbers === undefined) {
		return { type, count, last };
	}
	const { min, max, finite, rest } = numbers;
	return {
		...{ type, count, last },
		numbers: { min: Number(min), max: Number(max), finite: ExactSum.parse(finite), rest: Number(rest) },
	};
}

function toShownMetric({ type, count, numbers, last }: MetricSummary): unknown {
	if (numbers === undefined) {
		return { type, last };
	}
	const sum = sumOf(numbers);
	return {
		type,
		count,
		sum: toJsonNumber(sum),
		min: toJsonNumber(numbers.min),
		max: toJsonNumber(numbers.max),
		mean: toJsonNumber(sum / count),
		last,
	};
}

/** Makes an object of a map, whatever its keys are called. */
function mapObject<V, W>(map: ReadonlyMap<string, V>, change: (value: V) => W): Record<string, W> {
	return Object.fromEntries([...map].map(([name, value]) => [name, change(value)]));
}
