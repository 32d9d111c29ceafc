import { randomUUID } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { MetricReport, NewMetricReportSchema } from "../../src/gen/millrace/v1/metric_pb.js";
import { MetricService } from "../../src/gen/millrace/v1/metric_service_pb.js";
import { TrialService } from "../../src/gen/millrace/v1/trial_service_pb.js";
import type { TestServer } from "../support/start-test-server.js";

/** A report as a client writes it. */
export type NewReport = MessageInitShape<typeof NewMetricReportSchema>;

/** Returns a function that sends reports in calls of their own client. */
export function reporter(server: TestServer) {
	const metrics = server.client(MetricService);
	const clientId = randomUUID();
	let sequence = 0n;
	return async (...reports: NewReport[]) => {
		sequence++;
		const { statuses } = await metrics.reportMetrics({ clientId, sequence, reports });
		return statuses.map(({ code, message }) => (code === 0 ? "ok" : `${code} ${message}`));
	};
}

/** Starts a run without members, and returns its number. */
export async function openRun(server: TestServer, trialId: number): Promise<number> {
	const { trialRun } = await server.client(TrialService).startTrialRun({ trialId });
	return trialRun?.trialRunId ?? 0;
}

/** Reads a stream to its end. */
export async function collect(stream: AsyncIterable<{ reports: MetricReport[] }>): Promise<MetricReport[]> {
	const reports: MetricReport[] = [];
	for await (const message of stream) {
		reports.push(...message.reports);
	}
	return reports;
}

/** A report in a few words. */
const short = (report: MetricReport) =>
	`${report.group} run ${report.trialRunId} step ${report.stepsCompleted} ${report.metricsJson}`;

/** Returns what is stored of a trial, in a few words each. */
export async function stored(server: TestServer, trialId: number, group = ""): Promise<string[]> {
	const stream = server.client(MetricService).streamTrialMetrics({ trialIds: [trialId], group });
	return (await collect(stream)).map(short);
}
