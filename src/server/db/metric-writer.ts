import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { MillraceError } from "../../errors.js";
import {
	type ReportMetricsResponse,
	ReportMetricsResponseSchema,
	type ReportStatus,
	ReportStatusSchema,
} from "../../gen/millrace/v1/metric_service_pb.js";
import type { Member } from "../../gen/millrace/v1/trial_pb.js";
import { grpcStatusOf } from "../../rpc/status.js";
import type { Database, Transaction } from "./database.js";
import { closedRunText, goneMemberText } from "./members.js";
import { storeReports } from "./metric-reports.js";
import type { AdmittedReport } from "./metric-rows.js";
import { findReportSources, noSource, type ReportSource, sourceKey } from "./metric-sources.js";
import { wrongPartText } from "./parts.js";
import { type Sender, senderKey } from "./sender.js";
import { isOpen, type TrialRunRow } from "./trial-runs.js";
import type { TrialSource } from "./trial-sources.js";

/** A report whose own form is right. */
export interface WellFormedReport extends Omit<AdmittedReport, "endTime" | "source"> {
	/** Undefined for the time of arrival. */
	readonly endTime: number | undefined;
	/** The worker, for a report of batch processing. */
	readonly member: Member | undefined;
	/** What the report names as what it is about. */
	readonly source: TrialSource | undefined;
}

/** One call of ReportMetrics. A report that is malformed stands in the list as what is wrong with it. */
export interface ReportCall {
	readonly sender: Sender;
	readonly sequence: number;
	readonly reports: readonly (WellFormedReport | MillraceError)[];
}

interface Waiting {
	readonly call: ReportCall;
	resolve(response: ReportMetricsResponse): void;
	reject(error: unknown): void;
}

/** The most that is written together, unless a single call has more: reports, and characters of their JSON texts. */
const largestGroup = { reports: 10_000, characters: 16 * 1024 * 1024 };

/** Stores metric reports. The calls that arrive while others are being written are written together. */
export class MetricWriter {
	readonly #db: Database;
	#waiting: Waiting[] = [];
	#working = false;

	constructor(db: Database) {
		this.#db = db;
	}

	/** Stores the reports of a call, and answers a status for each. A call that was answered before gets the same answer. */
	report(call: ReportCall): Promise<ReportMetricsResponse> {
		return new Promise((resolve, reject) => {
			this.#waiting.push({ call, resolve, reject });
			if (!this.#working) {
				void this.#work();
			}
		});
	}

	async #work(): Promise<void> {
		this.#working = true;
		while (this.#waiting.length > 0) {
			const group = this.#waiting.splice(0, groupLength(this.#waiting));
			if (!(await this.#together(group))) {
				await Promise.all(group.map((waiting) => this.#alone(waiting)));
			}
		}
		this.#working = false;
	}

	/** Returns false, and has stored nothing, where the calls cannot be written together. */
	async #together(group: readonly Waiting[]): Promise<boolean> {
		try {
			const outcomes = await this.#db.write((tx) =>
				writeCalls(
					tx,
					group.map(({ call }) => call),
				),
			);
			group.forEach((waiting, i) => {
				settle(waiting, outcomes[i]);
			});
			return true;
		} catch (error) {
			if (group.length === 1) {
				group[0]?.reject(error);
				return true;
			}
			return false;
		}
	}

	async #alone(waiting: Waiting): Promise<void> {
		try {
			const [outcome] = await this.#db.write((tx) => writeCalls(tx, [waiting.call]));
			settle(waiting, outcome);
		} catch (error) {
			waiting.reject(error);
		}
	}
}

function settle({ resolve, reject }: Waiting, outcome: ReportMetricsResponse | MillraceError | undefined): void {
	outcome === undefined || outcome instanceof MillraceError ? reject(outcome) : resolve(outcome);
}

/** Returns how many of the waiting calls are written together: at least one. */
function groupLength(waiting: readonly Waiting[]): number {
	let reports = 0;
	let characters = 0;
	const over = waiting.findIndex(({ call }) => {
		reports += call.reports.length;
		for (const report of call.reports) {
			characters += report instanceof MillraceError ? 0 : report.metricsJson.length + report.batchMetricsJson.length;
		}
		return reports > largestGroup.reports || characters > largestGroup.characters;
	});
	return over === -1 ? waiting.length : Math.max(over, 1);
}

async function writeCalls(
	tx: Transaction,
	calls: readonly ReportCall[],
): Promise<(ReportMetricsResponse | MillraceError)[]> {
	const answered = await findAnswered(tx, calls);
	const fresh: ReportCall[] = [];
	const newest = new Map<string, number>();
	for (const call of calls) {
		const key = senderKey(call.sender);
		const last = newest.get(key) ?? answered(call.sender)?.sequence ?? 0;
		if (call.sequence > last) {
			fresh.push(call);
			newest.set(key, call.sequence);
		}
	}
	const statuses = await writeReports(
		tx,
		fresh.flatMap((call) => call.reports),
	);
	const responses = new Map<string, ReportMetricsResponse>();
	let next = 0;
	const rows = fresh.map((call) => {
		const response = create(ReportMetricsResponseSchema, {
			statuses: statuses.slice(next, next + call.reports.length),
		});
		next += call.reports.length;
		responses.set(callKey(call), response);
		return { call, response };
	});
	for (const { call, response } of rows) {
		await tx.run(
			`INSERT INTO report_clients (client_id, caller, sequence, response, time) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET sequence = excluded.sequence, response = excluded.response, time = excluded.time`,
			call.sender.clientId,
			call.sender.caller,
			call.sequence,
			Buffer.from(toBinary(ReportMetricsResponseSchema, response)),
			tx.now,
		);
	}
	return calls.map((call) => {
		const response = responses.get(callKey(call));
		if (response !== undefined) {
			return response;
		}
		const before = answered(call.sender);
		return before?.sequence === call.sequence
			? fromBinary(ReportMetricsResponseSchema, before.response)
			: new MillraceError(
					"failed_precondition",
					`sequence is ${call.sequence}, but client ${call.sender.clientId} has sent a later call already; ` +
						"send one call at a time, with rising numbers",
				);
	});
}

function callKey(call: ReportCall): string {
	return `${call.sequence} ${senderKey(call.sender)}`;
}

/** Returns a function that finds the last answer to a sender, having asked the database once for those of all calls. */
async function findAnswered(tx: Transaction, calls: readonly ReportCall[]) {
	const rows = await tx.all<{ client_id: string; caller: string; sequence: number; response: Buffer }>(
		`SELECT client_id, caller, sequence, response FROM report_clients
		WHERE client_id IN (SELECT value FROM json_each(?))`,
		JSON.stringify(calls.map((call) => call.sender.clientId)),
	);
	const bySender = new Map(rows.map((row) => [senderKey({ clientId: row.client_id, caller: row.caller }), row]));
	return (sender: Sender) => bySender.get(senderKey(sender)) ?? bySender.get(senderKey({ ...sender, caller: "" }));
}

async function writeReports(
	tx: Transaction,
	reports: readonly (WellFormedReport | MillraceError)[],
): Promise<ReportStatus[]> {
	const admit = await gate(
		tx,
		reports.filter((report): report is WellFormedReport => !(report instanceof MillraceError)),
	);
	const sources = await findReportSources(
		tx,
		reports.flatMap((report) => (report instanceof MillraceError || !report.source ? [] : [report.source])),
	);
	const sourceOf = ({ source }: WellFormedReport): ReportSource | MillraceError =>
		(source && sources.get(sourceKey(source))) ?? noSource;
	const admitted: AdmittedReport[] = [];
	const places: number[] = [];
	const outcomes = reports.map((report, i): MillraceError | undefined => {
		if (report instanceof MillraceError) {
			return report;
		}
		const refusal = admit(report);
		const source = sourceOf(report);
		if (refusal !== undefined || source instanceof MillraceError) {
			return refusal ?? (source as MillraceError);
		}
		admitted.push({ ...report, source, endTime: report.endTime ?? tx.now });
		places.push(i);
		return undefined;
	});
	const failures = admitted.length === 0 ? [] : await storeReports(tx, admitted);
	places.forEach((place, i) => {
		outcomes[place] = failures[i];
	});
	return outcomes.map((failure) =>
		create(ReportStatusSchema, failure && { code: grpcStatusOf(failure.code), message: failure.message }),
	);
}

/** Returns a function that says what forbids a report, having asked the database once for all of them. */
async function gate(
	tx: Transaction,
	reports: readonly WellFormedReport[],
): Promise<(report: WellFormedReport) => MillraceError | undefined> {
	const runKey = (run: { trialId: number; trialRunId: number }) => `[${run.trialId},${run.trialRunId}]`;
	const memberKey = (member: Member) =>
		JSON.stringify([member.trialId, member.trialRunId, member.rank, member.memberUuid]);
	const runs = new Map<string, TrialRunRow & { key: string }>();
	const trials = new Set<number>();
	const askedRuns = [...new Set(reports.map(runKey))];
	for (const row of await tx.all<TrialRunRow & { key: string; known_trial: number }>(
		`SELECT asked.value AS key, trials.id AS known_trial, run.* FROM json_each(?) AS asked
		JOIN trials ON trials.id = asked.value ->> 0
		LEFT JOIN trial_runs AS run ON run.trial_id = trials.id AND run.trial_run_id = asked.value ->> 1`,
		`[${askedRuns.join(",")}]`,
	)) {
		trials.add(row.known_trial);
		if (row.trial_run_id !== null) {
			runs.set(row.key, row);
		}
	}
	const members = new Map<string, { gone_time: number | null; part: number; commits: number }>();
	const askedMembers = [...new Set(reports.flatMap(({ member }) => (member === undefined ? [] : [memberKey(member)])))];
	for (const row of await tx.all<{ i: number; gone_time: number | null; part: number; commits: number }>(
		`SELECT asked.key AS i, member.gone_time, member.part, (
			SELECT ifnull(max(commit_number), 0) FROM commits
			WHERE trial_id = member.trial_id AND trial_run_id = member.trial_run_id AND rank = member.rank
			AND member_uuid = member.member_uuid
		) AS commits
		FROM json_each(?) AS asked JOIN members AS member ON
			trial_id = asked.value ->> 0 AND trial_run_id = asked.value ->> 1 AND rank = asked.value ->> 2
			AND member_uuid = asked.value ->> 3`,
		`[${askedMembers.join(",")}]`,
	)) {
		members.set(askedMembers[row.i] as string, row);
	}
	return (report) => {
		if (!trials.has(report.trialId)) {
			return new MillraceError("not_found", `trial ${report.trialId} not found`);
		}
		const run = runs.get(runKey(report));
		if (run === undefined) {
			return new MillraceError("failed_precondition", `trial ${report.trialId} has no run ${report.trialRunId}`);
		}
		if (!isOpen(run)) {
			return new MillraceError("failed_precondition", closedRunText(report.trialId, run));
		}
		if (report.member !== undefined) {
			const member = members.get(memberKey(report.member));
			if (member === undefined || member.gone_time !== null) {
				return new MillraceError("failed_precondition", goneMemberText(report.member));
			}
			const wrongPart = wrongPartText(report.part, member.part);
			if (wrongPart !== undefined) {
				return new MillraceError("failed_precondition", wrongPart);
			}
			if (report.commitNumber <= member.commits) {
				return new MillraceError(
					"failed_precondition",
					`pending_commit.commit_number is ${report.commitNumber}, but the worker has made ${member.commits} commits; ` +
						"report before the commit that confirms it",
				);
			}
		}
		return undefined;
	};
}
