import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { MillraceError } from "../../errors.js";
import type { Plan, ProcessOptions } from "../../gen/millrace/v1/progress_pb.js";
import {
	type BeginProgressResponse,
	BeginProgressResponseSchema,
	type CommitRequest,
	type CommitResponse,
	CommitResponseSchema,
} from "../../gen/millrace/v1/progress_service_pb.js";
import type { Member } from "../../gen/millrace/v1/trial_pb.js";
import { addAlone, aloneIn } from "./alone-records.js";
import type { Transaction } from "./database.js";
import { addDone, findDone, joinNeighbours, type Range, rangesLeft } from "./done-ranges.js";
import { toStorage } from "./json-column.js";
import { assertMember } from "./members.js";
import { recordOutputs } from "./output-files.js";
import { partOf, wrongPartText } from "./parts.js";
import { agreeOnOptions, optionsOf } from "./process-options.js";
import { recordPartials } from "./reducer-partials.js";
import { findFailed, recordFailures } from "./trial-errors.js";
import type { TrialRunRow } from "./trial-runs.js";
import { getTrialRow, type TrialRow } from "./trials.js";

/**
 * Records a trial's plan or compares it with the recorded one, compares a worker's options with those of
 * its run's first worker, and returns what is left to do.
 *
 * Throws `failed_precondition` where they differ, or the worker may not write.
 */
export async function beginProgress(
	tx: Transaction,
	member: Member,
	plan: Plan,
	options: ProcessOptions,
): Promise<BeginProgressResponse> {
	const run = await assertMember(tx, member);
	await agreeOnOptions(tx, member, run, options);
	const trial = await getTrialRow(tx, member.trialId);
	const goalEnd = await agreeOnPlan(tx, trial, run, plan, options);
	const left = await rangesLeft(tx, trial.id, run.trial_run_id, goalEnd);
	return create(BeginProgressResponseSchema, {
		left: left.map(toRecordRange),
		alone: (await aloneIn(tx, trial.id, run.trial_run_id, left)).map(toRecordRange),
		goalEnd: BigInt(goalEnd),
		baseStep: run.base_step,
		storage: toStorage(trial.storage),
		outputUuid: trial.output_uuid,
	});
}

function toRecordRange([first, end]: Range) {
	return { first: BigInt(first), end: BigInt(end) };
}

async function agreeOnPlan(
	tx: Transaction,
	trial: TrialRow,
	run: TrialRunRow,
	plan: Plan,
	options: ProcessOptions,
): Promise<number> {
	const recordCount = Number(plan.recordCount);
	const maxBatches = Number(plan.maxBatches);
	if (trial.goal_end === null) {
		const limit = maxBatches * run.world_size * options.batchSize;
		const goalEnd = maxBatches === 0 ? recordCount : Math.min(recordCount, limit);
		await tx.run(
			"UPDATE trials SET record_count = ?, data_version = ?, max_batches = ?, goal_end = ? WHERE id = ?",
			recordCount,
			plan.dataVersion,
			maxBatches,
			goalEnd,
			trial.id,
		);
		return goalEnd;
	}
	const comparisons: [what: string, given: string, recorded: string][] = [
		["the data set length", `${recordCount}`, `${trial.record_count}`],
		["the data version", `"${plan.dataVersion}"`, `"${trial.data_version}"`],
		["max_batches", `${maxBatches}`, `${trial.max_batches}`],
	];
	for (const [what, given, recorded] of comparisons) {
		if (given !== recorded) {
			throw new MillraceError(
				"failed_precondition",
				`${what} is ${given}, but trial ${trial.id} was started with ${recorded}; go on with the same, or create another trial`,
			);
		}
	}
	return trial.goal_end;
}

/**
 * Commits what a worker has done since its last commit. A commit that is known gets its first answer, also
 * after the run was closed.
 *
 * Throws `failed_precondition` if the worker may not write, the number is not the next one, or a record was
 * not left, is done or has failed, and `resource_exhausted` if more records failed than the run permits.
 */
export async function commit(tx: Transaction, member: Member, request: CommitRequest): Promise<CommitResponse> {
	const known = await tx.get<{ response: Buffer }>(
		`SELECT response FROM commits
		WHERE trial_id = ? AND trial_run_id = ? AND rank = ? AND member_uuid = ? AND commit_number = ?`,
		member.trialId,
		member.trialRunId,
		member.rank,
		member.memberUuid,
		request.commitNumber,
	);
	if (known !== undefined) {
		return fromBinary(CommitResponseSchema, known.response);
	}
	const run = await assertMember(tx, member);
	const trial = await getTrialRow(tx, member.trialId);
	if (trial.goal_end === null) {
		throw new MillraceError("failed_precondition", `trial ${trial.id} has no plan yet; call BeginProgress first`);
	}
	const runRecords = await assertNext(tx, member, request, run);
	assertPlausibleStep(request.step, run, trial.goal_end);
	const ranges = await checkedRanges(tx, member, request, trial.goal_end);
	await recordFailures(tx, member, run, trial, request.failures);
	const recordCount = ranges.reduce((sum, [first, end]) => sum + end - first, 0);
	await addDone(tx, trial.id, run.trial_run_id, ranges);
	await addAlone(tx, trial.id, run.trial_run_id, checkedAlone(request, run, trial.goal_end));
	await recordOutputs(tx, member, request.part, request.finish, request.outputs);
	await recordPartials(tx, member, request.part, request.partials);
	await tx.run(
		"UPDATE trials SET records_done = records_done + ?, max_step = max(max_step, ?) WHERE id = ?",
		recordCount,
		request.step,
		trial.id,
	);
	const response = create(CommitResponseSchema, { recordsDone: BigInt(trial.records_done + recordCount) });
	await tx.run(
		`INSERT INTO commits
			(trial_id, trial_run_id, rank, member_uuid, commit_number, part, step, finish, record_count, run_records, response, time)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		member.trialId,
		member.trialRunId,
		member.rank,
		member.memberUuid,
		request.commitNumber,
		request.part,
		request.step,
		request.finish,
		recordCount,
		runRecords + recordCount,
		Buffer.from(toBinary(CommitResponseSchema, response)),
		tx.now,
	);
	return response;
}

/** Returns how many records the worker's earlier commits in this run have. */
async function assertNext(tx: Transaction, member: Member, request: CommitRequest, run: TrialRunRow): Promise<number> {
	const last = await tx.get<{ commit_number: number; step: number; finish: number; run_records: number }>(
		`SELECT commit_number, step, finish, run_records FROM commits
		WHERE trial_id = ? AND trial_run_id = ? AND rank = ? AND member_uuid = ? ORDER BY commit_number DESC LIMIT 1`,
		member.trialId,
		member.trialRunId,
		member.rank,
		member.memberUuid,
	);
	const expected = (last?.commit_number ?? 0) + 1;
	if (request.commitNumber !== expected) {
		throw new MillraceError(
			"failed_precondition",
			`commit_number is ${request.commitNumber}, but the worker's next commit has number ${expected}`,
		);
	}
	if (last?.finish === 1) {
		throw new MillraceError(
			"failed_precondition",
			`commit ${last.commit_number} was the worker's finish; it is the last`,
		);
	}
	const lowest = last?.step ?? run.base_step;
	if (request.step < lowest) {
		throw new MillraceError("failed_precondition", `step is ${request.step}, but step ${lowest} is committed already`);
	}
	const wrongPart = wrongPartText(request.part, (await partOf(tx, member)) ?? 0);
	if (wrongPart !== undefined) {
		throw new MillraceError("failed_precondition", wrongPart);
	}
	return last?.run_records ?? 0;
}

/** A step processes a record at least, but for the last one; a higher one would leave later runs no steps to count. */
function assertPlausibleStep(step: number, run: TrialRunRow, goalEnd: number): void {
	const highest = run.base_step + goalEnd + 1;
	if (step > highest) {
		throw new MillraceError(
			"failed_precondition",
			`step is ${step}, but run ${run.trial_run_id} of trial ${run.trial_id} started at step ${run.base_step}, and its ` +
				`${goalEnd} records allow steps up to ${highest}`,
		);
	}
}

/** Returns the ranges of a commit, ascending. Each record of them and of the failures is left, and named once. */
async function checkedRanges(
	tx: Transaction,
	member: Member,
	request: CommitRequest,
	goalEnd: number,
): Promise<Range[]> {
	const ranges = request.ranges.map((range): Range => [Number(range.first), Number(range.end)]);
	const failures = request.failures.map(({ record }): Range => [Number(record), Number(record) + 1]);
	const named = [...ranges, ...failures].sort((a, b) => a[0] - b[0]);
	let end = 0;
	for (const range of named) {
		if (range[0] < end) {
			throw new MillraceError(
				"invalid_argument",
				`ranges or failures overlap at record ${range[0]}; name each record once`,
			);
		}
		end = range[1];
	}
	if (end > goalEnd) {
		throw new MillraceError(
			"failed_precondition",
			`ranges reach to record ${end - 1}, but the goal of trial ${member.trialId} ends before record ${goalEnd}`,
		);
	}
	const done = await findDone(tx, member.trialId, named);
	if (done !== undefined) {
		throw new MillraceError(
			"failed_precondition",
			`the records ${done.first} to ${done.end - 1} are done already, in whole or in part, by run ${done.trialRunId} of trial ${member.trialId}`,
		);
	}
	const failed = await findFailed(tx, member.trialId, named);
	if (failed !== undefined) {
		throw new MillraceError(
			"failed_precondition",
			`record ${failed.record} of trial ${member.trialId} is a dead letter of run ${failed.trialRunId}; ` +
				"retry the trial's errors before processing it again",
		);
	}
	return joinNeighbours(ranges.sort((a, b) => a[0] - b[0]));
}

/** Returns the records of a commit that are to be batches of their own. There are no more than a batch has. */
function checkedAlone(request: CommitRequest, run: TrialRunRow, goalEnd: number): Range[] {
	const alone = request.alone.map((range): Range => [Number(range.first), Number(range.end)]);
	if (alone.length === 0) {
		return alone;
	}
	const options = optionsOf(run);
	if (options?.on_error !== "SKIP") {
		throw new MillraceError(
			"failed_precondition",
			`alone is set, but the workers of run ${run.trial_run_id} of trial ${run.trial_id} do not skip errors; ` +
				"begin with the policy SKIP",
		);
	}
	const count = alone.reduce((sum, [first, end]) => sum + end - first, 0);
	if (count > options.batch_size) {
		throw new MillraceError(
			"failed_precondition",
			`alone names ${count} records, but a batch has ${options.batch_size}; name the others of one batch`,
		);
	}
	const outside = alone.find(([, end]) => end > goalEnd);
	if (outside !== undefined) {
		throw new MillraceError(
			"failed_precondition",
			`alone reaches to record ${outside[1] - 1}, but the goal of trial ${run.trial_id} ends before record ${goalEnd}`,
		);
	}
	return alone;
}
