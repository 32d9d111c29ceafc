import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { MillraceError } from "../../errors.js";
import { type TrialRun, TrialRunSchema, TrialRunState } from "../../gen/millrace/v1/trial_pb.js";
import { giveUpCheckpoints } from "./checkpoint-removals.js";
import type { Reader, Transaction } from "./database.js";
import { compactDoneRanges } from "./done-ranges.js";
import { enumName, enumValue } from "./enum-name.js";
import { toTimestamp } from "./json-column.js";
import { archiveUnconfirmed } from "./metric-archive.js";
import { dropUnfinishedOutputs } from "./output-files.js";
import { getTrialRow, setTrialState, type TrialRow } from "./trials.js";

/** A row of the table trial_runs. */
export interface TrialRunRow {
	readonly trial_id: number;
	readonly trial_run_id: number;
	readonly world_size: number;
	readonly state: keyof typeof TrialRunState;
	readonly reason: string;
	readonly owner_host: string;
	readonly owner_uuid: string;
	readonly owner_pid: number;
	readonly preempt_requested: number;
	readonly preempt_reason: string;
	readonly base_step: number;
	readonly joined_count: number;
	readonly options: string | null;
	readonly options_rank: number | null;
	readonly start_time: number;
	readonly end_time: number | null;
}

/** The process that owns a run. */
export interface RunOwner {
	readonly host: string;
	/** Empty for a run that workers formed by themselves, or a script opened. */
	readonly uuid: string;
	/** 0 if it is not known. */
	readonly pid: number;
}

/** Names the process that owns a run. */
export function ownerText({ owner_host: host, owner_pid: pid }: Pick<TrialRunRow, "owner_host" | "owner_pid">): string {
	return `a process on ${host || "a host without a name"}${pid > 0 ? ` (pid ${pid})` : ""}`;
}

/** Tells whether a run has no verdict. */
export function isOpen(run: Pick<TrialRunRow, "state">): boolean {
	return run.state === "FORMING" || run.state === "RUNNING";
}

/** Returns a run's row, or undefined. */
export function findRunRow(db: Reader, trialId: number, trialRunId: number): Promise<TrialRunRow | undefined> {
	return db.get<TrialRunRow>("SELECT * FROM trial_runs WHERE trial_id = ? AND trial_run_id = ?", trialId, trialRunId);
}

/** Returns a run's row. Throws `not_found` if there is none. */
export async function getRunRow(db: Reader, trialId: number, trialRunId: number): Promise<TrialRunRow> {
	const run = await findRunRow(db, trialId, trialRunId);
	if (run === undefined) {
		await getTrialRow(db, trialId);
		throw new MillraceError("not_found", `trial ${trialId} has no run ${trialRunId}`);
	}
	return run;
}

/** Returns a trial's newest run, or undefined. */
export function findNewestRun(db: Reader, trialId: number): Promise<TrialRunRow | undefined> {
	return db.get<TrialRunRow>("SELECT * FROM trial_runs WHERE trial_id = ? ORDER BY trial_run_id DESC LIMIT 1", trialId);
}

/** Returns a trial's open run, of which there is one at most, or undefined. */
export async function findOpenRun(db: Reader, trialId: number): Promise<TrialRunRow | undefined> {
	const run = await findNewestRun(db, trialId);
	return run !== undefined && isOpen(run) ? run : undefined;
}

/** Returns the open runs of all trials. */
export function listOpenRuns(db: Reader): Promise<TrialRunRow[]> {
	return db.all<TrialRunRow>("SELECT * FROM trial_runs WHERE state IN ('FORMING', 'RUNNING')");
}

/**
 * Starts the next run of a trial.
 *
 * A trial that is ERROR is ACTIVE again.
 *
 * Throws `failed_precondition` if a run is open, or the trial is paused, completed or canceled.
 */
export async function startRun(
	tx: Transaction,
	trial: TrialRow,
	options: { worldSize: number; owner: RunOwner },
): Promise<TrialRunRow> {
	assertStartable(trial);
	const open = await findOpenRun(tx, trial.id);
	if (open !== undefined) {
		throw new MillraceError(
			"failed_precondition",
			`run ${open.trial_run_id} of trial ${trial.id} is open; end it first, or wait until it has ended`,
		);
	}
	if (trial.state !== "ACTIVE") {
		await setTrialState(tx, trial.id, "ACTIVE");
	}
	const trialRunId = trial.trial_run_id + 1;
	await compactDoneRanges(tx, trial.id, trial.trial_run_id);
	await tx.run("UPDATE trials SET trial_run_id = ? WHERE id = ?", trialRunId, trial.id);
	const run = await tx.get<TrialRunRow>(
		`INSERT INTO trial_runs
			(trial_id, trial_run_id, world_size, state, owner_host, owner_uuid, owner_pid, base_step, start_time)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING *`,
		trial.id,
		trialRunId,
		options.worldSize,
		options.worldSize === 0 ? "RUNNING" : "FORMING",
		options.owner.host,
		options.owner.uuid,
		options.owner.pid,
		trial.max_step,
		tx.now,
	);
	return run as TrialRunRow;
}

/**
 * Throws `failed_precondition` if no run of the trial may start. One may in a trial that is ERROR, which is how
 * a user tries it once more: it is ACTIVE again with that run.
 */
export function assertStartable(trial: Pick<TrialRow, "id" | "state">): void {
	switch (trial.state) {
		case "PAUSED":
			throw new MillraceError("failed_precondition", `trial ${trial.id} is paused; activate it first`);
		case "CANCELED":
			throw new MillraceError("failed_precondition", `trial ${trial.id} is canceled; create another trial`);
		case "COMPLETED":
			throw new MillraceError("failed_precondition", `trial ${trial.id} is completed; create another trial`);
	}
}

/**
 * Closes a run with a verdict, and lets the trial's state follow. A run that has a verdict keeps it. What it left
 * unconfirmed goes out of sight: metric reports are archived, outputs of a finish that never was are forgotten.
 *
 * Throws `not_found` if there is no such run.
 */
export async function closeRun(
	tx: Transaction,
	trialId: number,
	trialRunId: number,
	state: TrialRunState,
	reason: string,
): Promise<TrialRunRow> {
	const run = await getRunRow(tx, trialId, trialRunId);
	if (!isOpen(run)) {
		return run;
	}
	const trial = await getTrialRow(tx, trialId);
	await tx.run(
		"UPDATE trial_runs SET state = ?, reason = ?, end_time = ? WHERE trial_id = ? AND trial_run_id = ?",
		enumName(TrialRunState, state),
		reason,
		tx.now,
		trialId,
		trialRunId,
	);
	// No commit can come any more.
	await archiveUnconfirmed(tx, trialId, trialRunId);
	await dropUnfinishedOutputs(tx, trialId);
	await giveUpCheckpoints(tx, trialId, trialRunId);
	switch (state) {
		case TrialRunState.COMPLETED:
			await setTrialState(tx, trialId, "COMPLETED");
			break;
		case TrialRunState.KILLED:
			await setTrialState(tx, trialId, "CANCELED");
			break;
		case TrialRunState.PREEMPTED:
			await setTrialState(tx, trialId, requestedState(trial) ?? "ACTIVE");
			break;
		default:
			await tx.run("UPDATE trials SET restarts = restarts + 1 WHERE id = ?", trialId);
			await setTrialState(tx, trialId, await stateAfterFailure(tx, trial, run));
	}
	return getRunRow(tx, trialId, trialRunId);
}

/** Returns the state that a user asked for, and that the trial has when its run is over. */
function requestedState(trial: TrialRow): "CANCELED" | "PAUSED" | undefined {
	if (trial.cancel_requested !== 0) {
		return "CANCELED";
	}
	return trial.pause_requested !== 0 ? "PAUSED" : undefined;
}

async function stateAfterFailure(tx: Transaction, trial: TrialRow, run: TrialRunRow) {
	// Who asked for an end does not want another run, and the failure is counted all the same.
	const requested = requestedState(trial);
	if (requested !== undefined) {
		return requested;
	}
	const joined = await tx.get<{ count: number }>(
		"SELECT sum(joined_count) AS count FROM trial_runs WHERE trial_id = ?",
		trial.id,
	);
	// Where no worker of a trial ever joined, the entrypoint is wrong, and no restart mends it.
	if (run.world_size > 0 && joined?.count === 0) {
		return "ERROR";
	}
	return trial.restarts + 1 > trial.max_restarts ? "ERROR" : "ACTIVE";
}

/** Makes a run of its row. */
export function toTrialRun(row: TrialRunRow): TrialRun {
	const endTime = toTimestamp(row.end_time);
	return create(TrialRunSchema, {
		trialId: row.trial_id,
		trialRunId: row.trial_run_id,
		state: enumValue(TrialRunState, row.state),
		worldSize: row.world_size,
		reason: row.reason,
		joinedCount: row.joined_count,
		ownerHost: row.owner_host,
		ownerPid: row.owner_pid,
		preemptRequested: row.preempt_requested !== 0 && isOpen(row),
		startTime: timestampFromMs(row.start_time),
		...(endTime && { endTime }),
	});
}
