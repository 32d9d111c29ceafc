import { create } from "@bufbuild/protobuf";
import { MillraceError } from "../../errors.js";
import {
	type Trial,
	type TrialRun,
	TrialRunDecision,
	TrialRunState,
	TrialSourceInfoType,
	TrialState,
} from "../../gen/millrace/v1/trial_pb.js";
import {
	CreateTrialResponseSchema,
	type ReportTrialSourceInfoRequest,
	RetryTrialErrorsResponseSchema,
	type TrialService,
	UpdateTrialMetadataResponseSchema,
} from "../../gen/millrace/v1/trial_service_pb.js";
import type { ServiceHandlers } from "../../rpc/handler.js";
import { listOutputs } from "../db/output-files.js";
import { findAnswer, once } from "../db/request-ids.js";
import { activateTrial, killTrial, pauseTrial, preemptRun } from "../db/trial-control.js";
import { listErrors, retryErrors } from "../db/trial-errors.js";
import { listTrials } from "../db/trial-list.js";
import { updateMetadata } from "../db/trial-metadata.js";
import {
	closeRun,
	findNewestRun,
	getRunRow,
	isOpen,
	ownerText,
	type TrialRunRow,
	toTrialRun,
} from "../db/trial-runs.js";
import { linkTrialSource, type TrialSource } from "../db/trial-sources.js";
import { reportProgress, setStatus } from "../db/trial-status.js";
import { freshTrial, getFreshTrial } from "../db/trial-summary.js";
import { createTrial, getTrialRow, recordsLeft, type TrialRow } from "../db/trials.js";
import { assertMetadataChange } from "../metadata-change.js";
import { parsePage } from "../page-token.js";
import {
	assertId,
	assertNotNegative,
	assertPlainText,
	assertRequestId,
	assertText,
	checkedUuid,
	required,
} from "../request-checks.js";
import { closeAbandoned } from "./close-abandoned.js";
import type { ServiceContext } from "./service-context.js";
import { startTrialRun } from "./start-trial-run.js";
import { trialActivity } from "./trial-activity.js";
import { parseTrialPage } from "./trial-page.js";

/** The most characters that a trial's program may say of what it does. */
const longestStatus = 200;

/** Operates on trials and their runs. */
export function createTrialService(context: ServiceContext): ServiceHandlers<typeof TrialService> {
	const { db, owners, runClosed } = context;
	return {
		async createTrial({ requestId, experimentId, hparams, maxRestarts }) {
			assertRequestId(requestId);
			assertId("experiment_id", experimentId);
			assertNotNegative("max_restarts", maxRestarts);
			return db.write((tx) =>
				once(tx, requestId, CreateTrialResponseSchema, async () =>
					create(CreateTrialResponseSchema, { trial: await createTrial(tx, { experimentId, hparams, maxRestarts }) }),
				),
			);
		},

		async getTrial({ trialId }) {
			assertId("trial_id", trialId);
			return { trial: await getFreshTrial(db, trialId) };
		},

		async getTrialActivity({ trialId }) {
			assertId("trial_id", trialId);
			return { activity: await trialActivity(context, trialId) };
		},

		async listTrials(request) {
			const { page, filter } = await parseTrialPage(db, request);
			const found = await listTrials(db, filter, page);
			const { rows, nextPageToken } = page.take(
				found,
				(row) => [row.sort_key, row.id],
				(row) => row.hparams.length + row.metadata.length + row.summary.length,
			);
			return { trials: await Promise.all(rows.map((row) => freshTrial(db, row))), nextPageToken };
		},

		async startTrialRun(request) {
			assertRequestId(request.requestId);
			assertId("trial_id", request.trialId);
			assertNotNegative("world_size", request.worldSize);
			assertNotNegative("owner_pid", request.ownerPid);
			return startTrialRun(context, request);
		},

		async keepTrialRun({ trialId, trialRunId, ownerUuid }) {
			assertId("trial_id", trialId);
			assertId("trial_run_id", trialRunId);
			assertText("owner_uuid", ownerUuid);
			const run = await getRunRow(db, trialId, trialRunId);
			assertOwner(run, ownerUuid, await findNewestRun(db, trialId));
			owners.hear(run);
			return { leaseMs: owners.leaseMs, trialRun: toTrialRun(run) };
		},

		async preemptTrialRun({ trialId, trialRunId, reason }) {
			assertId("trial_id", trialId);
			assertId("trial_run_id", trialRunId);
			return { trialRun: toTrialRun(await db.write((tx) => preemptRun(tx, trialId, trialRunId, reason))) };
		},

		async listTrialErrors(request) {
			assertId("trial_id", request.trialId);
			await getTrialRow(db, request.trialId);
			const page = parsePage(`errors of ${request.trialId}`, request);
			const found = await listErrors(db, request.trialId, Number(page.after ?? -1), page.size + 1);
			const errors = found.slice(0, page.size);
			return { errors, nextPageToken: page.next(found.length, () => Number(errors.at(-1)?.record ?? 0)) };
		},

		async retryTrialErrors({ requestId, trialId }) {
			assertRequestId(requestId);
			assertId("trial_id", trialId);
			if ((await findAnswer(db, requestId, RetryTrialErrorsResponseSchema)) === undefined) {
				// As after a crash of the machine, which nobody has told the server of.
				await closeAbandoned(context, trialId);
			}
			return db.write((tx) =>
				once(tx, requestId, RetryTrialErrorsResponseSchema, async () => {
					const { trial, removed } = await retryErrors(tx, trialId);
					return create(RetryTrialErrorsResponseSchema, { trial, removedCount: BigInt(removed) });
				}),
			);
		},

		async getTrialRun({ trialId, trialRunId }) {
			assertId("trial_id", trialId);
			assertId("trial_run_id", trialRunId);
			return { trialRun: toTrialRun(await getRunRow(db, trialId, trialRunId)) };
		},

		async endTrialRun({ trialId, trialRunId, state, reason }) {
			assertId("trial_id", trialId);
			assertId("trial_run_id", trialRunId);
			if (state !== TrialRunState.COMPLETED && state !== TrialRunState.FAILED && state !== TrialRunState.KILLED) {
				throw new MillraceError(
					"invalid_argument",
					`state is ${TrialRunState[state] ?? state}; it must be COMPLETED, FAILED or KILLED`,
				);
			}
			const ended = await db.write(async (tx) => {
				const before = await getRunRow(tx, trialId, trialRunId);
				if (isOpen(before) && state === TrialRunState.COMPLETED) {
					assertCompletable(before, await getTrialRow(tx, trialId));
				}
				const trialRun = toTrialRun(await closeRun(tx, trialId, trialRunId, state, reason));
				return { trialRun, wasOpen: isOpen(before) };
			});
			const { trialRun } = ended;
			if (ended.wasOpen) {
				runClosed(trialId, trialRunId, trialRun.state, trialRun.reason);
			}
			const trial = await getFreshTrial(db, trialId);
			return { decision: decide(trialRun, trial), trialRun, trial };
		},

		async pauseTrial({ trialId }) {
			assertId("trial_id", trialId);
			await db.write((tx) => pauseTrial(tx, trialId));
			return { trial: await getFreshTrial(db, trialId) };
		},

		async activateTrial({ trialId }) {
			assertId("trial_id", trialId);
			await db.write((tx) => activateTrial(tx, trialId));
			return { trial: await getFreshTrial(db, trialId) };
		},

		async killTrial({ trialId }) {
			assertId("trial_id", trialId);
			const reason = "a user killed the trial";
			const closedRunId = await db.write((tx) => killTrial(tx, trialId, reason));
			if (closedRunId > 0) {
				runClosed(trialId, closedRunId, TrialRunState.KILLED, reason);
			}
			return { trial: await getFreshTrial(db, trialId) };
		},

		async reportTrialSourceInfo(request) {
			assertId("trial_id", request.trialId);
			const source = sourceOf(request);
			const type = request.type || TrialSourceInfoType.INFERENCE;
			if (TrialSourceInfoType[type] === undefined) {
				throw new MillraceError("invalid_argument", `type is ${type}; it must be INFERENCE or FINE_TUNING`);
			}
			return { checkpointUuid: await db.write((tx) => linkTrialSource(tx, request.trialId, type, source)) };
		},

		async listTrialOutputs(request) {
			assertId("trial_id", request.trialId);
			await getTrialRow(db, request.trialId);
			const page = parsePage(`outputs of ${request.trialId}`, request);
			const found = await listOutputs(db, request.trialId, String(page.after ?? ""), page.size + 1);
			const outputs = found.slice(0, page.size);
			return { outputs, nextPageToken: page.next(found.length, () => outputs.at(-1)?.file?.path ?? "") };
		},

		async reportTrialProgress({ trialId, trialRunId, progress }) {
			assertId("trial_id", trialId);
			assertId("trial_run_id", trialRunId);
			if (!(progress >= 0 && progress <= 1)) {
				throw new MillraceError("invalid_argument", `progress is ${progress}; it must be a number from 0 to 1`);
			}
			await db.write((tx) => reportProgress(tx, trialId, trialRunId, progress));
			return {};
		},

		async setTrialStatus({ trialId, trialRunId, status }) {
			assertId("trial_id", trialId);
			assertId("trial_run_id", trialRunId);
			assertPlainText("status", status, longestStatus);
			await db.write((tx) => setStatus(tx, trialId, trialRunId, status));
			return {};
		},

		async updateTrialMetadata({ requestId, trialId, metadata }) {
			assertRequestId(requestId);
			assertId("trial_id", trialId);
			const change = required("metadata", metadata);
			assertMetadataChange("metadata", change);
			return db.write((tx) =>
				once(tx, requestId, UpdateTrialMetadataResponseSchema, async () =>
					create(UpdateTrialMetadataResponseSchema, { metadata: await updateMetadata(tx, trialId, change) }),
				),
			);
		},
	};
}

/** Throws `failed_precondition` if a run is another process's, or has been followed by a newer one. */
function assertOwner(run: TrialRunRow, ownerUuid: string, newest: TrialRunRow | undefined): void {
	const name = `run ${run.trial_run_id} of trial ${run.trial_id}`;
	if (run.owner_uuid !== ownerUuid) {
		throw new MillraceError("failed_precondition", `${name} is owned by another process; start a run of your own`);
	}
	if (newest !== undefined && newest.trial_run_id > run.trial_run_id) {
		throw new MillraceError(
			"failed_precondition",
			`${name} is over, and ${ownerText(newest)} has started run ${newest.trial_run_id}`,
		);
	}
}

/** Throws `failed_precondition` if a run may not complete its trial without workers who finish it. */
function assertCompletable(run: TrialRunRow, trial: TrialRow): void {
	if (run.world_size > 0) {
		throw new MillraceError(
			"failed_precondition",
			`run ${run.trial_run_id} of trial ${trial.id} has workers, who complete it themselves; report FAILED or KILLED`,
		);
	}
	if (recordsLeft(trial) > 0) {
		throw new MillraceError(
			"failed_precondition",
			`${recordsLeft(trial)} of ${trial.goal_end} records of trial ${trial.id} are left; ` +
				"process them in a run with workers, or report FAILED or KILLED",
		);
	}
}

/**
 * Says what the owner of a trial does after one of its runs. The trial's state comes first: meanwhile another run
 * may have completed it, or a user may have paused or killed it.
 */
function decide(run: TrialRun, trial: Trial): TrialRunDecision {
	switch (trial.state) {
		case TrialState.COMPLETED:
			return TrialRunDecision.DONE;
		case TrialState.PAUSED:
			return TrialRunDecision.PREEMPTED;
		case TrialState.CANCELED:
			return TrialRunDecision.KILLED;
	}
	switch (run.state) {
		case TrialRunState.PREEMPTED:
			return TrialRunDecision.PREEMPTED;
		default:
			return trial.state === TrialState.ACTIVE ? TrialRunDecision.RESTART : TrialRunDecision.FAILED;
	}
}

function sourceOf({ source }: ReportTrialSourceInfoRequest): TrialSource {
	switch (source.case) {
		case "checkpointUuid":
			return { checkpointUuid: checkedUuid("checkpoint_uuid", source.value) };
		case "modelVersion":
			assertText("model_version.model", source.value.model);
			assertId("model_version.version", source.value.version);
			return source.value;
		default:
			throw new MillraceError("invalid_argument", "source is missing; give a checkpoint_uuid or a model_version");
	}
}
