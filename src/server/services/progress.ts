import { MillraceError } from "../../errors.js";
import type { ReducerPartial } from "../../gen/millrace/v1/progress_pb.js";
import type { CommitRequest, ProgressService } from "../../gen/millrace/v1/progress_service_pb.js";
import type { Member } from "../../gen/millrace/v1/trial_pb.js";
import type { ServiceHandlers } from "../../rpc/handler.js";
import { atStep } from "../../steps.js";
import { assertMember } from "../db/members.js";
import { beginProgress, commit } from "../db/progress.js";
import { partialPages } from "../db/reducer-partials.js";
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
			assertId("options.batch_size", options.batchSize);
			assertId("options.checkpoint_interval", options.checkpointInterval);
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

		async startPart() {
			throw new MillraceError("unimplemented", "StartPart is not built yet");
		},

		async *streamReducerPartials(request) {
			const member = checkedMember("member", request.member);
			await assertMember(db, member);
			for await (const partials of partialPages(db, member.trialId)) {
				yield { partials };
			}
		},
	};
}

function assertCommit(request: CommitRequest, member: Member): void {
	assertNotNegative("part", request.part);
	assertId("commit_number", request.commitNumber);
	assertNotNegative("step", request.step);
	for (const [i, range] of request.ranges.entries()) {
		const first = checkedCount(`ranges[${i}].first`, range.first);
		const end = checkedCount(`ranges[${i}].end`, range.end);
		if (end <= first) {
			throw new MillraceError(
				"invalid_argument",
				`ranges[${i}] is ${first} to ${end}; it must hold at least one record`,
			);
		}
	}
	if (request.finish && (request.ranges.length > 0 || request.partials.length > 0)) {
		throw new MillraceError(
			"invalid_argument",
			"ranges or partials are set in a finish commit; commit them before the finish",
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
