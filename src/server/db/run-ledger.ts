import { MillraceError } from "../../errors.js";
import type { JoinRequest, ReducedMetrics } from "../../gen/millrace/v1/rendezvous_pb.js";
import { type Member, TrialRunState } from "../../gen/millrace/v1/trial_pb.js";
import type { OpenedRun, RunLedger } from "../../rendezvous/run-ledger.js";
import { atStep } from "../../steps.js";
import { assertMetricGroup } from "../metric-group.js";
import { parseJson } from "../request-checks.js";
import type { Database, Transaction } from "./database.js";
import { enumValue } from "./enum-name.js";
import { addMember, closedRunText, findRunOfMember, hasMember, removeMember } from "./members.js";
import { archiveEarlierFinish } from "./metric-archive.js";
import { insertResults } from "./metric-reports.js";
import { dropEarlierFinish } from "./output-files.js";
import {
	assertStartable,
	closeRun,
	findOpenRun,
	getRunRow,
	isOpen,
	startRun,
	type TrialRunRow,
	toTrialRun,
} from "./trial-runs.js";
import { getTrialRow, recordsLeft, type TrialRow } from "./trials.js";

/** How long a run that was started for workers keeps its trial for them, in milliseconds. */
const firstJoinMs = 60_000;

/** What the rendezvous remembers, kept in the database. */
export function createRunLedger(db: Database): RunLedger {
	return {
		openRun: (join) => db.write((tx) => openRun(tx, join)),
		addMember: (join, trialRunId) => db.write((tx) => addMember(tx, join, trialRunId)),
		removeMember: (member) => db.write((tx) => removeMember(tx, member)),
		startRun: (trialId, trialRunId) =>
			db.write(async (tx) => {
				await tx.run(
					"UPDATE trial_runs SET state = 'RUNNING' WHERE trial_id = ? AND trial_run_id = ? AND state = 'FORMING'",
					trialId,
					trialRunId,
				);
			}),
		closeRun: (trialId, trialRunId, state, reason) =>
			db.write(async (tx) => toTrialRun(await closeRun(tx, trialId, trialRunId, state, reason))),
		async decideStep(trialId, trialRunId, done) {
			const decision = await db.write((tx) => decideStep(tx, trialId, trialRunId, done));
			atStep("server.step-decided");
			return decision;
		},
		async finishRun(trialId, trialRunId, results) {
			for (const [i, { group, metricsJson }] of results.entries()) {
				assertMetricGroup(group);
				parseJson(`results[${i}].metrics_json`, metricsJson, "object");
			}
			atStep("server.finish-received");
			await db.write(async (tx) => {
				await finishRun(tx, trialId, trialRunId, results);
				atStep("server.finish-written");
			});
			atStep("server.finish-durable");
		},
		lastProgress: (member) => lastProgress(db, member),
	};
}

async function openRun(tx: Transaction, join: JoinRequest): Promise<OpenedRun> {
	const trial = await getTrialRow(tx, join.trialId);
	const last = await findRunOfMember(tx, join);
	if (last !== undefined && !isOpen(last)) {
		// It comes back too late. What it holds belongs to that run; in the next one it would be in the way.
		const { trial_run_id: trialRunId, reason } = last;
		return { open: false, trialRunId, state: enumValue(TrialRunState, last.state), reason };
	}
	if (trial.state === "COMPLETED") {
		const { reason } = await getRunRow(tx, trial.id, trial.trial_run_id);
		return { open: false, trialRunId: trial.trial_run_id, state: TrialRunState.COMPLETED, reason };
	}
	assertStartable(trial);
	const open = await findOpenRun(tx, trial.id);
	if (join.trialRunId > 0) {
		await getRunRow(tx, trial.id, join.trialRunId);
		if (trial.state === "ERROR") {
			throw new MillraceError(
				"failed_precondition",
				`trial ${trial.id} has failed for good; join without a run id to try it once more`,
			);
		}
		if (open !== undefined && open.trial_run_id !== join.trialRunId) {
			throw new MillraceError(
				"failed_precondition",
				`run ${join.trialRunId} of trial ${trial.id} is over, and run ${open.trial_run_id} is open; end this worker`,
			);
		}
	}
	if (open?.state === "RUNNING") {
		// Whether its members are there, or went while the server was away, only the rendezvous can tell.
		const isMember = last?.trial_run_id === open.trial_run_id && last.gone_time === null;
		return { open: true, trialRunId: open.trial_run_id, worldSize: open.world_size, isRunning: true, isMember };
	}
	if (open !== undefined && open.world_size !== join.worldSize) {
		if (!(await isAbandoned(tx, open, join))) {
			throw new MillraceError("failed_precondition", otherWorldText(open, join));
		}
		// The trial's state after this failure is never seen: the next run makes it active.
		const reason = "its workers went, or never came, and others came with another world size";
		await closeRun(tx, trial.id, open.trial_run_id, TrialRunState.FAILED, reason);
	} else if (open !== undefined) {
		return { open: true, trialRunId: open.trial_run_id, worldSize: open.world_size, ...forming };
	}
	const next = { worldSize: join.worldSize, owner: { host: "", uuid: "", pid: 0 } };
	const started = await startRun(tx, await getTrialRow(tx, trial.id), next);
	return { open: true, trialRunId: started.trial_run_id, worldSize: started.world_size, ...forming };
}

const forming = { isRunning: false, isMember: false };

/** Tells whether nobody is left of a forming run, so that workers of another world size may have the trial. */
async function isAbandoned(tx: Transaction, run: TrialRunRow, join: JoinRequest): Promise<boolean> {
	if (run.state !== "FORMING" || join.trialRunId > 0 || (await hasMember(tx, run.trial_id, run.trial_run_id))) {
		return false;
	}
	return run.joined_count > 0 || tx.now - run.start_time >= firstJoinMs;
}

/** Says why workers of one world size cannot join a run of another. */
function otherWorldText(run: TrialRunRow, { worldSize, trialRunId }: JoinRequest): string {
	const name = `run ${run.trial_run_id} of trial ${run.trial_id}`;
	if (run.world_size === 0) {
		return `${name} is open and has no workers; end it first`;
	}
	const workers = run.world_size === 1 ? "1 worker" : `${run.world_size} workers`;
	const whatToDo =
		trialRunId > 0
			? "the number of workers must equal resources.slots_per_trial: " +
				`start them with \`millrace launch -- …\`, or set it to ${worldSize}`
			: `start ${workers}, as \`millrace launch\` does, or wait until that run has ended`;
	return `the world size is ${worldSize}, but ${name} has ${workers}; ${whatToDo}`;
}

async function decideStep(
	tx: Transaction,
	trialId: number,
	trialRunId: number,
	done: boolean,
): Promise<{ preempted: boolean }> {
	const run = await getRunRow(tx, trialId, trialRunId);
	if (!isOpen(run)) {
		if (run.state === "PREEMPTED") {
			return { preempted: true };
		}
		throw new MillraceError("failed_precondition", closedRunText(trialId, run));
	}
	const reason = whyPreempted(run, await getTrialRow(tx, trialId));
	// What is done is done: a request that comes with the last commit is for a run that has no other.
	if (done || reason === undefined) {
		return { preempted: false };
	}
	await closeRun(tx, trialId, trialRunId, TrialRunState.PREEMPTED, reason);
	return { preempted: true };
}

function whyPreempted(run: TrialRunRow, trial: TrialRow): string | undefined {
	if (trial.cancel_requested !== 0) {
		return "a user canceled the trial";
	}
	if (trial.pause_requested !== 0) {
		return "the trial was asked to pause";
	}
	return run.preempt_requested === 0 ? undefined : run.preempt_reason || "the run was asked to stop";
}

async function finishRun(
	tx: Transaction,
	trialId: number,
	trialRunId: number,
	results: readonly ReducedMetrics[],
): Promise<void> {
	const run = await getRunRow(tx, trialId, trialRunId);
	if (enumValue(TrialRunState, run.state) === TrialRunState.COMPLETED) {
		return;
	}
	if (!isOpen(run)) {
		throw new MillraceError("failed_precondition", closedRunText(trialId, run));
	}
	const trial = await getTrialRow(tx, trialId);
	// Without a plan no record can be left out: the workers bring their own loop, which has no reducers.
	if (trial.goal_end === null && results.length > 0) {
		throw new MillraceError("failed_precondition", `trial ${trialId} has no plan yet; begin its progress first`);
	}
	if (recordsLeft(trial) > 0) {
		throw new MillraceError(
			"failed_precondition",
			`trial ${trialId} is not finished: ${recordsLeft(trial)} of its ${trial.goal_end} records are left`,
		);
	}
	await archiveEarlierFinish(tx, trialId, trialRunId);
	await dropEarlierFinish(tx, trialId, trialRunId);
	await insertResults(tx, { trialId, trialRunId, stepsCompleted: trial.max_step }, results);
	await closeRun(tx, trialId, trialRunId, TrialRunState.COMPLETED, "");
}

async function lastProgress(db: Database, member: Member): Promise<{ step: number; text: string }> {
	const row = await db.get<{ step: number | null; records: number }>(
		`SELECT max(step) AS step, ifnull(sum(record_count), 0) AS records FROM commits
		WHERE trial_id = ? AND trial_run_id = ? AND rank = ? AND member_uuid = ?`,
		member.trialId,
		member.trialRunId,
		member.rank,
		member.memberUuid,
	);
	return row === undefined || row.step === null
		? { step: 0, text: "no commit yet" }
		: { step: row.step, text: `last commit: step ${row.step}, ${row.records} records` };
}
