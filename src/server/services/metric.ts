import type { MessageInitShape } from "@bufbuild/protobuf";
import { isMillraceError, MillraceError } from "../../errors.js";
import type { MetricSummarySchema, NewMetricReport } from "../../gen/millrace/v1/metric_pb.js";
import type { MetricService, SummarizeMetricsRequest } from "../../gen/millrace/v1/metric_service_pb.js";
import { TrialState } from "../../gen/millrace/v1/trial_pb.js";
import type { CallContext, ServiceHandlers } from "../../rpc/handler.js";
import { writeJson } from "../../write-json.js";
import { callerName } from "../auth/caller-name.js";
import type { Database } from "../db/database.js";
import { followMetrics } from "../db/metric-following.js";
import { type MetricPage, type MetricPosition, metricPages } from "../db/metric-pages.js";
import { checkpointSubject, type MetricSubject, modelVersionSubject, trialSubject } from "../db/metric-sources.js";
import { summarizeGroup } from "../db/metric-summaries.js";
import { MetricWriter, type WellFormedReport } from "../db/metric-writer.js";
import type { TrialSource } from "../db/trial-sources.js";
import { profilingGroups } from "../db/trial-summary.js";
import { getTrialRow } from "../db/trials.js";
import { readerInTurn } from "../in-turn.js";
import { assertMetricGroup } from "../metric-group.js";
import {
	assertId,
	assertNotNegative,
	assertStorable,
	assertText,
	checkedMember,
	checkedTime,
	checkedUuid,
	parseJson,
} from "../request-checks.js";
import { parseResumeToken, writeResumeToken } from "../resume-token.js";
import { type GroupSummary, type Metrics, sumOf } from "../summary-metrics.js";
import type { ServiceContext } from "./service-context.js";

/** The most reports of one call. */
const largestCall = 10_000;

/** Stores and reads metric reports. */
export function createMetricService({ db }: ServiceContext): ServiceHandlers<typeof MetricService> {
	const writer = new MetricWriter(db);

	async function* stream(
		name: string,
		subject: MetricSubject,
		{ group, resumeToken }: { readonly group: string; readonly resumeToken: string },
		context: CallContext,
	) {
		const filtered = `${name} ${group}`;
		const from = parseResumeToken<MetricPosition>(filtered, resumeToken, 5);
		yield* messages(filtered, metricPages(readerInTurn(db, context), subject, group, from));
	}

	async function* messages(filtered: string, pages: AsyncIterable<MetricPage>) {
		for await (const { reports, position } of pages) {
			yield { reports: [...reports], resumeToken: writeResumeToken(filtered, position) };
		}
	}

	return {
		async reportMetrics({ clientId, sequence, reports }, { caller }) {
			assertText("client_id", clientId);
			if (clientId.length > 128) {
				throw new MillraceError(
					"invalid_argument",
					`client_id has ${clientId.length} characters; at most 128 are allowed`,
				);
			}
			if (sequence < 1 || sequence > Number.MAX_SAFE_INTEGER) {
				throw new MillraceError("invalid_argument", `sequence is ${sequence}; calls count from 1`);
			}
			if (reports.length > largestCall) {
				throw new MillraceError(
					"invalid_argument",
					`reports has ${reports.length} reports; send at most ${largestCall} in a call`,
				);
			}
			const sender = { clientId, caller: callerName(caller) };
			return writer.report({ sender, sequence: Number(sequence), reports: reports.map(checkedReport) });
		},

		async *streamTrialMetrics(request, context) {
			const { trialIds, group, resumeToken, follow } = request;
			const { signal } = context;
			if (trialIds.length === 0) {
				throw new MillraceError("invalid_argument", "trial_ids is empty; must specify at least one trial id");
			}
			for (const trialId of trialIds) {
				assertId("trial_ids", trialId);
				await getTrialRow(db, trialId);
			}
			if (follow) {
				const filtered = `follow trials ${trialIds} ${group}`;
				const from = parseResumeToken<MetricPosition>(filtered, resumeToken, 5);
				yield* messages(filtered, followMetrics(db, readerInTurn(db, context), trialIds, group, from, signal));
			} else {
				yield* stream(`trials ${trialIds}`, trialSubject(trialIds), request, context);
			}
			// With a trial that was deleted meanwhile reports are missing, which shall not seem to be all.
			for (const trialId of signal.aborted ? [] : trialIds) {
				await getTrialRow(db, trialId);
			}
		},

		async *streamCheckpointMetrics(request, context) {
			const { checkpointUuid } = request;
			const subject = await checkpointSubject(db, checkedUuid("checkpoint_uuid", checkpointUuid));
			yield* stream(`checkpoint ${checkpointUuid}`, subject, request, context);
		},

		async *streamModelVersionMetrics(request, context) {
			const { model, version } = request;
			assertText("model", model);
			assertId("version", version);
			const subject = await modelVersionSubject(db, model, version);
			yield* stream(`version ${version} of ${model}`, subject, request, context);
		},

		async summarizeMetrics({ subject, group, states }) {
			assertMetricGroup(group);
			const names = states.map(stateName);
			const { all, trials } = await summarizeGroup(db, await summarySubject(db, subject), group, names);
			return {
				metrics: toSummaries(all),
				trials: [...trials].map(([trialId, summary]) => ({ trialId, metrics: toSummaries(summary) })),
			};
		},
	};
}

function stateName(state: TrialState): string {
	const name = TrialState[state];
	if (name === undefined || state === TrialState.UNSPECIFIED) {
		throw new MillraceError(
			"invalid_argument",
			`states has ${state}; it must hold states of trials, or nothing for any`,
		);
	}
	return name;
}

async function summarySubject(db: Database, subject: SummarizeMetricsRequest["subject"]): Promise<MetricSubject> {
	switch (subject.case) {
		case "trialId":
			assertId("trial_id", subject.value);
			await getTrialRow(db, subject.value);
			return trialSubject([subject.value]);
		case "checkpointUuid":
			return checkpointSubject(db, checkedUuid("checkpoint_uuid", subject.value));
		case "modelVersion":
			assertText("model_version.model", subject.value.model);
			assertId("model_version.version", subject.value.version);
			return modelVersionSubject(db, subject.value.model, subject.value.version);
		default:
			throw new MillraceError("invalid_argument", "subject is missing; set trial_id, checkpoint_uuid or model_version");
	}
}

function toSummaries({ metrics }: GroupSummary): MessageInitShape<typeof MetricSummarySchema>[] {
	return [...metrics]
		.map(([name, { type, count, numbers, last }]) => {
			const sum = numbers && sumOf(numbers);
			return {
				...{ name, type, count: BigInt(count), lastJson: writeJson(last) },
				...(numbers !== undefined &&
					sum !== undefined && { min: numbers.min, max: numbers.max, sum, mean: sum / count }),
			};
		})
		.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Checks a report's form. What is wrong with it becomes its status and harms no other report. */
function checkedReport(report: NewMetricReport): WellFormedReport | MillraceError {
	try {
		return wellFormed(report);
	} catch (error) {
		if (isMillraceError(error)) {
			return error;
		}
		throw error;
	}
}

function wellFormed(report: NewMetricReport): WellFormedReport {
	assertId("trial_id", report.trialId);
	assertId("trial_run_id", report.trialRunId);
	assertMetricGroup(report.group);
	if (report.stepsCompleted !== undefined) {
		assertNotNegative("steps_completed", report.stepsCompleted);
	}
	if (report.rank !== undefined) {
		assertNotNegative("rank", report.rank);
	}
	const metrics = parseJson("metrics_json", report.metricsJson, "object") as Metrics;
	assertStorable("metrics_json", metrics);
	assertEpochs(metrics);
	if (report.batchMetricsJson !== "") {
		assertStorable(
			"batch_metrics_json",
			parseJson("batch_metrics_json", report.batchMetricsJson, "array") as unknown[],
		);
	}
	const pending = report.pendingCommit;
	const member = pending && checkedMember("pending_commit.member", pending.member);
	if (pending !== undefined && member !== undefined) {
		assertNotNegative("pending_commit.part", pending.part);
		assertId("pending_commit.commit_number", pending.commitNumber);
		if (member.trialId !== report.trialId || member.trialRunId !== report.trialRunId) {
			throw new MillraceError(
				"invalid_argument",
				`pending_commit.member is of run ${member.trialRunId} of trial ${member.trialId}, but the report of ` +
					`run ${report.trialRunId} of trial ${report.trialId}; they must be the same`,
			);
		}
	}
	return {
		trialId: report.trialId,
		trialRunId: report.trialRunId,
		rank: member?.rank ?? report.rank ?? -1,
		part: pending?.part ?? -1,
		commitNumber: pending?.commitNumber ?? 0,
		group: report.group,
		// What profilers report belongs to a time, not to a step.
		stepsCompleted: profilingGroups.has(report.group) ? undefined : report.stepsCompleted,
		endTime: report.reportTime && checkedTime("report_time", report.reportTime),
		metricsJson: report.metricsJson,
		metrics,
		batchMetricsJson: report.batchMetricsJson,
		member,
		source: checkedSource(report.source),
	};
}

function checkedSource(source: NewMetricReport["source"]): TrialSource | undefined {
	switch (source.case) {
		case "checkpointUuid":
			return { checkpointUuid: checkedUuid("checkpoint_uuid", source.value) };
		case "modelVersion":
			assertText("model_version.model", source.value.model);
			assertId("model_version.version", source.value.version);
			return { model: source.value.model, version: source.value.version };
		default:
			return undefined;
	}
}

/** Determined sorts and plots by these two names, so they hold nothing but numbers. */
function assertEpochs(metrics: Metrics): void {
	for (const name of ["epoch", "epochs"]) {
		if (Object.hasOwn(metrics, name) && metrics[name] !== null && typeof metrics[name] !== "number") {
			throw new MillraceError(
				"invalid_argument",
				`cannot add metric with non numeric '${name}' value got ${JSON.stringify(metrics[name])}`,
			);
		}
	}
}
