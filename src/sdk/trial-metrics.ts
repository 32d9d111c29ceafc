import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { MetricReport } from "../gen/millrace/v1/metric_pb.js";
import { assertBoolean } from "./assert-boolean.js";
import { assertKnownOptions } from "./assert-options.js";
import { type AsyncList, asyncList } from "./async-list.js";
import { fromJsonText, type JsonObject } from "./json.js";
import { assertMetricGroup } from "./metric-group.js";
import { resumedStream } from "./resumed-stream.js";
import type { Session } from "./session.js";

/**
 * One report of metrics.
 *
 * Python: TrialMetrics
 */
export interface TrialMetrics<M extends JsonObject = JsonObject> {
	/** The trial that reported it. */
	readonly trialId: number;
	/** The run of the trial that reported it, from 1. */
	readonly trialRunId: number;
	/** How many steps the reporter had completed; null if it did not say. */
	readonly stepsCompleted: number | null;
	/** When it was reported. */
	readonly endTime: Date;
	/** The metrics, with the reporter's own names. */
	readonly metrics: M;
	/** The metric group, such as "inference". */
	readonly group: string;
	/** Metrics for each batch, if there are any. */
	readonly batchMetrics?: M[];
	/** The rank of the worker that reported it; absent if it speaks for the whole trial. */
	readonly rank?: number;
	/** The checkpoint that the report named as what it is about, itself or by a model version; absent if it named none. */
	readonly checkpointUuid?: string;
	/** The id of the model of which the report named a version; absent if it named none. */
	readonly modelId?: number;
	/** The number of that version; absent if it named none. */
	readonly modelVersion?: number;
}

/** How metrics of trials are read. */
export interface TrialMetricsOptions {
	/**
	 * Whether to go on with what is reported later, until the trials have ended: are COMPLETED, CANCELED or ERROR.
	 * Later reports come in the order of their arrival; one into which another merged comes again, whole. What a run
	 * does not confirm in the end may be among them. Default false.
	 */
	readonly follow?: boolean | undefined;
}

/** One message of a stream of metrics. */
interface MetricBatch {
	readonly reports: readonly MetricReport[];
	readonly resumeToken: string;
}

/**
 * Reads metric reports from the stream that `open` starts for a group, "" for all, and a resume token, "" for the
 * start. It goes on where it breaks, as `resumedStream` does.
 *
 * Reading throws `invalid_argument` if the group has a dot, `unavailable` if the server does not come back.
 */
export function trialMetricsList<M extends JsonObject>(
	group: string | undefined,
	open: (request: { group: string; resumeToken: string }) => Promise<AsyncIterable<MetricBatch>>,
): AsyncList<TrialMetrics<M>> {
	return asyncList(async function* () {
		if (group !== undefined && group !== "") {
			assertMetricGroup(group);
		}
		for await (const batch of resumedStream((resumeToken) => open({ group: group ?? "", resumeToken }))) {
			for (const report of batch.reports) {
				yield fromReport<M>(report);
			}
		}
	});
}

/** Reads metric reports of trials. `method` is what an error calls the reading. */
export function metricsOfTrials<M extends JsonObject>(
	session: Session,
	method: string,
	trialIds: readonly number[],
	group: string | undefined,
	options: TrialMetricsOptions,
): AsyncList<TrialMetrics<M>> {
	return trialMetricsList<M>(group, async (request) => {
		assertKnownOptions(options, method, ["follow"]);
		const { follow = false } = options;
		assertBoolean(follow, "follow");
		const { metrics } = await session.connection();
		return metrics.streamTrialMetrics({ trialIds: [...trialIds], follow, ...request });
	});
}

function fromReport<M extends JsonObject>(report: MetricReport): TrialMetrics<M> {
	return {
		trialId: report.trialId,
		trialRunId: report.trialRunId,
		stepsCompleted: report.stepsCompleted ?? null,
		endTime: report.endTime ? timestampDate(report.endTime) : new Date(0),
		metrics: fromJsonText(report.metricsJson) as M,
		group: report.group,
		...(report.batchMetricsJson === "" ? {} : { batchMetrics: fromJsonText(report.batchMetricsJson) as M[] }),
		...(report.rank === undefined ? {} : { rank: report.rank }),
		...(report.checkpointUuid === "" ? {} : { checkpointUuid: report.checkpointUuid }),
		...(report.modelId === 0 ? {} : { modelId: report.modelId, modelVersion: report.modelVersion }),
	};
}
