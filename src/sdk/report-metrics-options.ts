import type { MessageInitShape } from "@bufbuild/protobuf";
import { MillraceError } from "../errors.js";
import type { NewMetricReportSchema } from "../gen/millrace/v1/metric_pb.js";
import { assertKnownOptions } from "./assert-options.js";
import { checkpointSource, type LinkedCheckpoint, type LinkedVersion, versionSource } from "./trial-source.js";

/** What a report is about, for a run that uses several: it then counts for that alone, and the trial is linked to it. */
export interface ReportMetricsOptions {
	/** The checkpoint, or its UUID. Not together with `modelVersion`. */
	readonly checkpoint?: string | LinkedCheckpoint | PromiseLike<LinkedCheckpoint> | undefined;
	/** The model version. Not together with `checkpoint`. */
	readonly modelVersion?: LinkedVersion | PromiseLike<LinkedVersion | null> | undefined;
}

/** The source of a report as a request names it. */
export type ReportSource = NonNullable<MessageInitShape<typeof NewMetricReportSchema>["source"]>;

/**
 * Returns what a report is about; undefined for all that its trial is linked to.
 *
 * Throws `invalid_argument` if both are given, or one is not what it should be.
 */
export async function reportSource(options: ReportMetricsOptions): Promise<ReportSource | undefined> {
	assertKnownOptions(options, "reportMetrics", ["checkpoint", "modelVersion"]);
	const { checkpoint, modelVersion } = options;
	if (checkpoint !== undefined && modelVersion !== undefined) {
		throw new MillraceError(
			"invalid_argument",
			"checkpoint and modelVersion are both given; a report is about one of them: report twice",
		);
	}
	if (checkpoint !== undefined) {
		return checkpointSource(checkpoint);
	}
	return modelVersion === undefined ? undefined : versionSource(modelVersion);
}
