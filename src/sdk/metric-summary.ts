import type { MessageInitShape } from "@bufbuild/protobuf";
import type { MetricSummary as MetricSummaryMessage } from "../gen/millrace/v1/metric_pb.js";
import type { SummarizeMetricsRequestSchema } from "../gen/millrace/v1/metric_service_pb.js";
import { TrialState as State } from "../gen/millrace/v1/trial_pb.js";
import { assertKnownOptions } from "./assert-options.js";
import { checkedStrings } from "./assert-string.js";
import { enumOption } from "./enum-option.js";
import { fromJsonText, type JsonValue } from "./json.js";
import { assertMetricGroup } from "./metric-group.js";
import type { Session } from "./session.js";
import type { TrialState } from "./trial.js";

/** What is known of all values of one metric. Only numbers have `min`, `max`, `mean` and `sum`. */
export interface MetricSummary {
	/** The type of the values; "string" also where they differ. */
	readonly type: "number" | "string" | "date" | "boolean" | "object" | "array" | "null";
	/** How many values there are. */
	readonly count: number;
	/** The smallest; NaN if one is NaN. */
	readonly min?: number;
	/** The largest; NaN if one is NaN. */
	readonly max?: number;
	/** The mean. */
	readonly mean?: number;
	/** The sum. */
	readonly sum?: number;
	/** The value in the newest report of the group; null if that report lacks the metric. */
	readonly last: JsonValue;
}

/** What is known of all reports of one metric group, computed by the server. */
export interface MetricsSummary {
	/** Over all the trials, by the metric's name. */
	readonly metrics: Record<string, MetricSummary>;
	/** The same for each trial that has reports of the group, by id. */
	readonly trials: readonly { readonly trialId: number; readonly metrics: Record<string, MetricSummary> }[];
}

/** Options of `summarizeMetrics`. */
export interface SummarizeMetricsOptions {
	/** Only trials in one of these states, such as `["COMPLETED"]`. Default: any. */
	readonly states?: readonly Exclude<TrialState, "UNSPECIFIED">[] | undefined;
}

/** Summarizes a metric group of one trial, or of those linked to a checkpoint or a model version. */
export async function summarizeMetrics(
	session: Session,
	subject: NonNullable<MessageInitShape<typeof SummarizeMetricsRequestSchema>["subject"]>,
	group: string,
	options: SummarizeMetricsOptions = {},
): Promise<MetricsSummary> {
	assertMetricGroup(group);
	assertKnownOptions(options, "summarizeMetrics", ["states"]);
	const states = checkedStrings(options.states ?? [], "states").map((state) => enumOption(State, state, "states"));
	const { metrics } = await session.connection();
	const answer = await metrics.summarizeMetrics({ subject, group, states });
	return {
		metrics: byName(answer.metrics),
		trials: answer.trials.map((trial) => ({ trialId: trial.trialId, metrics: byName(trial.metrics) })),
	};
}

/** An entry becomes a property of its own, also where a metric is called "__proto__". */
function byName(metrics: readonly MetricSummaryMessage[]): Record<string, MetricSummary> {
	return Object.fromEntries(metrics.map((metric) => [metric.name, toSummary(metric)]));
}

function toSummary({ type, count, min, max, mean, sum, lastJson }: MetricSummaryMessage): MetricSummary {
	return {
		type: type as MetricSummary["type"],
		count: Number(count),
		...(min === undefined ? {} : { min }),
		...(max === undefined ? {} : { max }),
		...(mean === undefined ? {} : { mean }),
		...(sum === undefined ? {} : { sum }),
		last: fromJsonText(lastJson),
	};
}
