import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { MetricReportSchema } from "../../gen/millrace/v1/metric_pb.js";

/** A report on its way to a reader. */
export type ReportMessage = MessageInitShape<typeof MetricReportSchema>;

/** SQL for a JSON array of what a reader gets of a row of metric_reports. */
export const reportColumns = `json_array(id, trial_id, trial_run_id, step, group_name, metrics, batch_metrics, rank, end_time,
	CASE checkpoint_id WHEN 0 THEN '' ELSE (SELECT uuid FROM checkpoints WHERE checkpoints.id = checkpoint_id) END,
	model_id, version, revision)`;

/** The array. */
export type ReportColumns = [
	id: number,
	trialId: number,
	trialRunId: number,
	step: number,
	group: string,
	metrics: string,
	batchMetrics: string,
	rank: number,
	endTime: number,
	checkpointUuid: string | null,
	modelId: number,
	version: number,
	revision: number,
];

/** Makes the message of a row. */
export function toReport(columns: ReportColumns): ReportMessage {
	const [id, trialId, trialRunId, step, group, metrics, batchMetrics, rank, endTime, checkpointUuid] = columns;
	const [modelId, modelVersion] = columns.slice(10) as [number, number];
	return {
		id: BigInt(id),
		trialId,
		trialRunId,
		group,
		metricsJson: metrics,
		batchMetricsJson: batchMetrics,
		endTime: timestampFromMs(endTime),
		checkpointUuid: checkpointUuid ?? "",
		modelId,
		modelVersion,
		...(step >= 0 && { stepsCompleted: step }),
		...(rank >= 0 && { rank }),
	};
}
