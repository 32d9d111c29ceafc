import { MillraceError } from "../../errors.js";
import {
	ErrorPolicy,
	type ProcessOptions,
	type RecordFailure,
	type RecordRange,
	type ReducerPartial,
} from "../../gen/millrace/v1/progress_pb.js";
import type { CommitRequest, ProgressService } from "../../gen/millrace/v1/progress_service_pb.js";
import type { Member } from "../../gen/millrace/v1/trial_pb.js";
import type { ServiceHandlers } from "../../rpc/handler.js";
import { atStep } from "../../steps.js";
import { assertMember } from "../db/members.js";
import { startPart } from "../db/parts.js";
import { beginProgress, commit } from "../db/progress.js";
import { partialPages } from "../db/reducer-partials.js";
import { readerInTurn } from "../in-turn.js";
import {
	assertFiles,
	assertId,
	assertNotNegative,
	assertText,
	checkedCount,
	checkedMember,
	parseJson,
	required,
} from "../request-checks.js";
import type { ServiceContext } from "./service-context.js";

/** Keeps which records of a trial are done. */
export function createProgressService({ db }: ServiceContext): ServiceHandlers<typeof ProgressService> {
	return {
		async beginProgress(request) {
			const member = checkedMember("member", request.member);
			const plan = required("plan", request.plan);
			const options = required("options", request.options);
			checkedCount("plan.record_count", plan.recordCount);
			checkedCount("plan.max_batches", plan.maxBatches);
			assertOptions(options);
			return db.write((tx) => beginProgress(tx, member, plan, options));
		},

		async commit(request) {
			const member = checkedMember("member", request.member);
			assertCommit(request, member);
			atStep("server.commit-received");
			const response = await db.write(async (tx) => {
				const written = await commit(tx, member, request);
				atStep("server.commit-written");
				return written;
			});
			atStep("server.commit-durable");
			return response;
		},

		async startPart(request) {
			const member = checkedMember("member", request.member);
			assertId("part", request.part);
			await db.write((tx) => startPart(tx, member, request.part));
			return {};
		},

		async *streamReducerPartials(request, context) {
			const member = checkedMember("member", request.member);
			await assertMember(db, member);
			for await (const partials of partialPages(readerInTurn(db, context), member.trialId)) {
				yield { partials };
			}
		},
	};
}

function assertOptions({ batchSize, checkpointInterval, onError, maxErrors }: ProcessOptions): void {
	assertId("options.batch_size", batchSize);
	assertId("options.checkpoint_interval", checkpointInterval);
	if (ErrorPolicy[onError] === undefined) {
		throw new MillraceError("invalid_argument", `options.on_error is ${onError}; it must be FAIL or SKIP`);
	}
	if (maxErrors !== undefined) {
		checkedCount("options.max_errors", maxErrors);
		if (onError !== ErrorPolicy.SKIP) {
			throw new MillraceError("invalid_argument", "options.max_errors is set without on_error SKIP; leave it out");
		}
	}
}

function assertCommit(request: CommitRequest, member: Member): void {
	assertNotNegative("part", request.part);
	assertId("commit_number", request.commitNumber);
	assertNotNegative("step", request.step);
	assertRanges("ranges", request.ranges);
	assertRanges("alone", request.alone);
	for (const [i, failure] of request.failures.entries()) {
		assertFailure(`failures[${i}]`, failure);
	}
	if (
		request.finish &&
		[request.ranges, request.failures, request.alone, request.partials].some(({ length }) => length > 0)
	) {
		throw new MillraceError(
			"invalid_argument",
			"ranges, failures, alone or partials are set in a finish commit; commit them before the finish",
		);
	}
	assertFiles("outputs", request.outputs);
	const own = `r${member.trialRunId}-w${member.rank}-p${request.part}-${member.memberUuid}/`;
	const stray = request.outputs.find((file) => !file.path.startsWith(own));
	if (stray !== undefined) {
		throw new MillraceError(
			"invalid_argument",
			`outputs names ${JSON.stringify(stray.path)}; the worker may only commit files below ${own}`,
		);
	}
	for (const [i, partial] of request.partials.entries()) {
		assertPartial(`partials[${i}]`, partial);
	}
}

function assertRanges(field: string, ranges: readonly RecordRange[]): void {
	for (const [i, range] of ranges.entries()) {
		const first = checkedCount(`${field}[${i}].first`, range.first);
		const end = checkedCount(`${field}[${i}].end`, range.end);
		if (end <= first) {
			throw new MillraceError(
				"invalid_argument",
				`${field}[${i}] is ${first} to ${end}; it must hold at least one record`,
			);
		}
	}
}

/** The most characters of a failure's message, and of its stack. */
const longestText = 65_536;

function assertFailure(field: string, { record, error, stack }: RecordFailure): void {
	checkedCount(`${field}.record`, record);
	for (const [name, text] of Object.entries({ error, stack })) {
		if (text.length > longestText) {
			throw new MillraceError(
				"invalid_argument",
				`${field}.${name} has ${text.length} characters; at most ${longestText} are allowed`,
			);
		}
	}
}

function assertPartial(field: string, { reducer, value }: ReducerPartial): void {
	assertText(`${field}.reducer`, reducer);
	switch (value.case) {
		case "slotJson":
			parseJson(`${field}.slot_json`, value.value, "value");
			break;
		case "recordValues":
			for (const [i, batch] of value.value.batches.entries()) {
				checkedCount(`${field}.record_values.batches[${i}].first_record`, batch.firstRecord);
				parseJson(`${field}.record_values.batches[${i}].values_json`, batch.valuesJson, "array");
			}
			break;
		default:
			throw new MillraceError("invalid_argument", `${field}.value is missing; it is required`);
	}
}
