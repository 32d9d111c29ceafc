import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, describe, it } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { isMillraceError } from "../../../src/errors.js";
import { PlanSchema, ProcessOptionsSchema } from "../../../src/gen/millrace/v1/progress_pb.js";
import { CommitRequestSchema } from "../../../src/gen/millrace/v1/progress_service_pb.js";
import { JoinRequestSchema, ReducedMetricsSchema } from "../../../src/gen/millrace/v1/rendezvous_pb.js";
import { MemberSchema, TrialRunState, TrialState } from "../../../src/gen/millrace/v1/trial_pb.js";
import type { RunLedger } from "../../../src/rendezvous/run-ledger.js";
import { Database } from "../../../src/server/db/database.js";
import { createExperiment } from "../../../src/server/db/experiments.js";
import { MetricWriter } from "../../../src/server/db/metric-writer.js";
import { migrate } from "../../../src/server/db/migrate.js";
import { listOutputs } from "../../../src/server/db/output-files.js";
import { beginProgress, commit } from "../../../src/server/db/progress.js";
import { createRunLedger } from "../../../src/server/db/run-ledger.js";
import { killTrial, pauseTrial, preemptRun } from "../../../src/server/db/trial-control.js";
import { getRunRow, toTrialRun } from "../../../src/server/db/trial-runs.js";
import { createTrial, getTrial } from "../../../src/server/db/trials.js";
import { directoryStorageAt } from "../../../src/server/storage-config.js";
import { tempDir } from "../../support/temp-dir.js";

interface Fixture {
	readonly db: Database;
	readonly ledger: RunLedger;
	readonly trialId: number;
}

async function open(maxRestarts = 5, now?: () => number): Promise<Fixture> {
	let db: Database | undefined;
	after(() => db?.close());
	db = await Database.open(tempDir(), { now });
	await migrate(db);
	const trial = await db.write(async (tx) => {
		const storage = directoryStorageAt("/nowhere");
		const { id } = await createExperiment(tx, {
			name: "test",
			description: "",
			labels: [],
			config: {},
			storage,
			username: "determined",
		});
		return createTrial(tx, { experimentId: id, hparams: undefined, maxRestarts });
	});
	return { db, ledger: createRunLedger(db), trialId: trial.id };
}

const joinOf = (trialId: number, fields: MessageInitShape<typeof JoinRequestSchema> = {}) =>
	create(JoinRequestSchema, { trialId, memberUuid: randomUUID(), worldSize: 1, localWorldSize: 1, ...fields });

/** Opens the next run for one worker that begins with 10 records. */
async function startRun({ db, ledger, trialId }: Fixture) {
	const join = joinOf(trialId);
	const { trialRunId } = await ledger.openRun(join);
	await ledger.addMember(join, trialRunId);
	await ledger.startRun(trialId, trialRunId);
	const member = create(MemberSchema, { trialId, trialRunId, memberUuid: join.memberUuid });
	const plan = create(PlanSchema, { recordCount: 10n });
	const options = create(ProcessOptionsSchema, { batchSize: 5, checkpointInterval: 1 });
	await db.write((tx) => beginProgress(tx, member, plan, options));
	return {
		member,
		trialRunId,
		commit: (request: MessageInitShape<typeof CommitRequestSchema>) =>
			db.write((tx) => commit(tx, member, create(CommitRequestSchema, request))),
	};
}

const refused =
	(message: RegExp, code: "failed_precondition" | "not_found" | "invalid_argument" = "failed_precondition") =>
	(error: Error) => {
		assert.match(error.message, message);
		assert.ok(isMillraceError(error, code));
		return true;
	};

describe("openRun", { timeout: 30_000 }, () => {
	it("starts the next run where none is open, and returns the open one to the others", async () => {
		const { ledger, trialId } = await open();
		const opened = await Promise.all([0, 1, 2].map((rank) => ledger.openRun(joinOf(trialId, { rank, worldSize: 3 }))));
		assert.deepEqual(
			opened,
			Array(3).fill({ open: true, trialRunId: 1, worldSize: 3, isRunning: false, isMember: false }),
		);
		await ledger.closeRun(trialId, 1, TrialRunState.FAILED, "lost");
		await assert.rejects(ledger.openRun(joinOf(99)), refused(/trial 99 not found/, "not_found"));
	});

	it("refuses another world size, naming both", async () => {
		const { ledger, trialId } = await open();
		await ledger.openRun(joinOf(trialId, { worldSize: 2 }));
		await assert.rejects(
			ledger.openRun(joinOf(trialId)),
			refused(/the world size is 1, but run 1 of trial 1 has 2 workers; start 2 workers/),
		);
		await assert.rejects(
			ledger.openRun(joinOf(trialId, { trialRunId: 1, worldSize: 3 })),
			refused(/is 3, .* has 2 workers; .* must equal resources\.slots_per_trial: .*millrace launch.*set it to 3$/),
		);
	});

	it("closes a forming run whose workers are gone for workers of another world size, and starts the next", async () => {
		const { db, ledger, trialId } = await open();
		const joins = [0, 1].map((rank) => joinOf(trialId, { rank, worldSize: 3 }));
		for (const join of joins) {
			await ledger.openRun(join);
			await ledger.addMember(join, 1);
		}
		const leave = (rank: number) =>
			ledger.removeMember(
				create(MemberSchema, { trialId, trialRunId: 1, rank, memberUuid: joins[rank]?.memberUuid ?? "" }),
			);
		await leave(0);
		await assert.rejects(ledger.openRun(joinOf(trialId)), refused(/but run 1 .* has 3/));
		await leave(1);
		await assert.rejects(ledger.openRun(joinOf(trialId, { trialRunId: 1 })), refused(/but run 1 .* has 3/));
		assert.equal((await ledger.openRun(joinOf(trialId, { worldSize: 3 }))).trialRunId, 1);
		const opened = await ledger.openRun(joinOf(trialId));
		assert.deepEqual(opened.open && [opened.trialRunId, opened.worldSize], [2, 1]);
		const closed = toTrialRun(await getRunRow(db, trialId, 1));
		assert.equal(closed.state, TrialRunState.FAILED);
		assert.match(closed.reason, /another world size/);
		const trial = await getTrial(db, trialId);
		assert.deepEqual([trial.state, trial.restarts, trial.endTime], [TrialState.ACTIVE, 1, undefined]);
	});

	it("keeps a run for a minute for workers that never came, and then fails it without the trial", async () => {
		const clock = { now: 1_000_000 };
		const { db, ledger, trialId } = await open(5, () => clock.now);
		await ledger.openRun(joinOf(trialId, { worldSize: 2 }));
		clock.now += 59_999;
		await assert.rejects(ledger.openRun(joinOf(trialId)), refused(/but run 1 .* has 2/));
		clock.now += 1;
		assert.equal((await ledger.openRun(joinOf(trialId))).trialRunId, 2);
		const trial = await getTrial(db, trialId);
		assert.deepEqual([trial.state, trial.restarts, trial.endTime], [TrialState.ACTIVE, 1, undefined]);
	});

	it("tells of a run that has started whether a worker is one of its members", async () => {
		const fixture = await open();
		const { member } = await startRun(fixture);
		const running = { open: true, trialRunId: 1, worldSize: 1, isRunning: true };
		const { ledger, trialId } = fixture;
		assert.deepEqual(await ledger.openRun(joinOf(trialId, { worldSize: 2 })), { ...running, isMember: false });
		const { memberUuid } = member;
		assert.deepEqual(await ledger.openRun(joinOf(trialId, { memberUuid })), { ...running, isMember: true });
	});

	it("refuses a run that is over while another is open, and forms the next one where none is", async () => {
		const { ledger, trialId } = await open();
		const join = joinOf(trialId);
		await ledger.openRun(join);
		await ledger.addMember(join, 1);
		await ledger.closeRun(trialId, 1, TrialRunState.FAILED, "lost");
		assert.equal((await ledger.openRun(joinOf(trialId, { trialRunId: 1 }))).trialRunId, 2);
		await assert.rejects(
			ledger.openRun(joinOf(trialId, { trialRunId: 1 })),
			refused(/run 1 of trial 1 is over, and run 2 is open/),
		);
		await assert.rejects(
			ledger.openRun(joinOf(trialId, { trialRunId: 9 })),
			refused(/trial 1 has no run 9/, "not_found"),
		);
	});

	it("refuses a paused and a canceled trial", async () => {
		const { db, ledger, trialId } = await open();
		await db.write((tx) => pauseTrial(tx, trialId));
		await assert.rejects(ledger.openRun(joinOf(trialId)), refused(/trial 1 is paused; activate it first/));
		await db.write((tx) => killTrial(tx, trialId, "no need"));
		await assert.rejects(ledger.openRun(joinOf(trialId)), refused(/trial 1 is canceled/));
	});

	it("tries a failed trial once more where no run is named", async () => {
		const { db, ledger, trialId } = await open(0);
		const join = joinOf(trialId);
		await ledger.openRun(join);
		await ledger.addMember(join, 1);
		await ledger.closeRun(trialId, 1, TrialRunState.FAILED, "lost");
		assert.equal((await getTrial(db, trialId)).state, TrialState.ERROR);
		await assert.rejects(ledger.openRun(joinOf(trialId, { trialRunId: 1 })), refused(/has failed for good/));
		assert.equal((await ledger.openRun(joinOf(trialId))).trialRunId, 2);
		const trial = await getTrial(db, trialId);
		assert.deepEqual([trial.state, trial.endTime], [TrialState.ACTIVE, undefined]);
	});
});

describe("closeRun", { timeout: 30_000 }, () => {
	it("keeps the first verdict, counts failures and ends in ERROR when restarts run out", async () => {
		const { db, ledger, trialId } = await open(1);
		for (const state of [TrialState.ACTIVE, TrialState.ERROR]) {
			const join = joinOf(trialId);
			const { trialRunId } = await ledger.openRun(join);
			await ledger.addMember(join, trialRunId);
			await ledger.closeRun(trialId, trialRunId, TrialRunState.FAILED, "first");
			const again = await ledger.closeRun(trialId, trialRunId, TrialRunState.KILLED, "second");
			assert.deepEqual([again.state, again.reason, again.joinedCount], [TrialRunState.FAILED, "first", 1]);
			assert.equal((await getTrial(db, trialId)).state, state);
		}
		assert.equal((await getTrial(db, trialId)).restarts, 2);
	});

	it("ends a trial none of whose workers ever joined", async () => {
		const { db, ledger, trialId } = await open();
		await ledger.openRun(joinOf(trialId, { worldSize: 2 }));
		await ledger.closeRun(trialId, 1, TrialRunState.FAILED, "nobody came");
		assert.equal((await getTrial(db, trialId)).state, TrialState.ERROR);
	});

	it("counts a worker once, however often it joins", async () => {
		const { ledger, trialId } = await open();
		const join = joinOf(trialId);
		await ledger.openRun(join);
		await ledger.addMember(join, 1);
		await ledger.removeMember(create(MemberSchema, { trialId, trialRunId: 1, memberUuid: join.memberUuid }));
		await ledger.addMember(join, 1);
		await ledger.addMember(joinOf(trialId), 1);
		assert.equal((await ledger.closeRun(trialId, 1, TrialRunState.FAILED, "")).joinedCount, 2);
	});
});

describe("removeMember", { timeout: 30_000 }, () => {
	it("fences the member's writes", async () => {
		const fixture = await open();
		const worker = await startRun(fixture);
		await fixture.ledger.removeMember(worker.member);
		await assert.rejects(
			worker.commit({ commitNumber: 1, step: 1, ranges: [{ first: 0n, end: 5n }] }),
			refused(/is not, or no longer, rank 0/),
		);
	});
});

describe("decideStep", { timeout: 30_000 }, () => {
	it("closes the run as PREEMPTED where the trial is to pause, unless nothing is left to do", async () => {
		const { db, ledger, trialId } = await open();
		await ledger.openRun(joinOf(trialId));
		assert.deepEqual(await ledger.decideStep(trialId, 1, false), { preempted: false });
		await db.write((tx) => pauseTrial(tx, trialId));
		const asked = await getTrial(db, trialId);
		assert.deepEqual([asked.state, asked.pauseRequested], [TrialState.ACTIVE, true]);
		assert.deepEqual(await ledger.decideStep(trialId, 1, true), { preempted: false });
		assert.deepEqual(await ledger.decideStep(trialId, 1, false), { preempted: true });
		assert.deepEqual(await ledger.decideStep(trialId, 1, false), { preempted: true });
		const paused = await getTrial(db, trialId);
		assert.deepEqual([paused.state, paused.pauseRequested, paused.restarts], [TrialState.PAUSED, false, 0]);
	});

	it("closes a run that was asked to stop as PREEMPTED, and leaves the trial active, or paused if that was asked", async () => {
		const { db, ledger, trialId } = await open();
		const states: unknown[] = [];
		for (const isPaused of [false, true]) {
			const { trialRunId } = await ledger.openRun(joinOf(trialId));
			const asked = await db.write((tx) => preemptRun(tx, trialId, trialRunId, "SIGTERM to rank 0 on a"));
			await db.write((tx) => preemptRun(tx, trialId, trialRunId, "SIGTERM to rank 1 on b"));
			assert.equal(toTrialRun(asked).preemptRequested, true);
			if (isPaused) {
				await db.write((tx) => pauseTrial(tx, trialId));
			}
			assert.deepEqual(await ledger.decideStep(trialId, trialRunId, true), { preempted: false });
			assert.deepEqual(await ledger.decideStep(trialId, trialRunId, false), { preempted: true });
			const closed = toTrialRun(await db.write((tx) => preemptRun(tx, trialId, trialRunId, "late")));
			const { state, reason, preemptRequested } = closed;
			states.push([state, reason, preemptRequested, (await getTrial(db, trialId)).state]);
		}
		assert.deepEqual(states, [
			[TrialRunState.PREEMPTED, "SIGTERM to rank 0 on a", false, TrialState.ACTIVE],
			[TrialRunState.PREEMPTED, "the trial was asked to pause", false, TrialState.PAUSED],
		]);
		await assert.rejects(
			db.write((tx) => preemptRun(tx, trialId, 9, "")),
			refused(/has no run 9/, "not_found"),
		);
	});

	it("does not restart a trial that was asked to pause and failed", async () => {
		const { db, ledger, trialId } = await open(0);
		const join = joinOf(trialId);
		await ledger.openRun(join);
		await ledger.addMember(join, 1);
		await db.write((tx) => pauseTrial(tx, trialId));
		await ledger.closeRun(trialId, 1, TrialRunState.FAILED, "lost");
		assert.equal((await getTrial(db, trialId)).state, TrialState.PAUSED);
	});
});

describe("finishRun", { timeout: 30_000 }, () => {
	const results = [create(ReducedMetricsSchema, { group: "inference", metricsJson: '{"accuracy":0.5}' })];
	const reports = (db: Database) =>
		db.all<{ metrics: string }>("SELECT * FROM metric_reports WHERE archived = 0 ORDER BY id");

	it("refuses while a record is not done, then completes run and trial with the results, once", async () => {
		const fixture = await open();
		const { db, ledger, trialId } = fixture;
		const worker = await startRun(fixture);
		await worker.commit({ commitNumber: 1, step: 3, ranges: [{ first: 0n, end: 9n }] });
		await assert.rejects(ledger.finishRun(trialId, 1, results), refused(/1 of its 10 records are left/));
		assert.deepEqual(await reports(db), []);
		await worker.commit({ commitNumber: 2, step: 4, ranges: [{ first: 9n, end: 10n }] });
		await ledger.finishRun(trialId, 1, results);
		await ledger.finishRun(trialId, 1, results);
		const [report, ...others] = await db.all<Record<string, unknown>>("SELECT * FROM metric_reports");
		assert.deepEqual(others, []);
		assert.deepEqual(
			[report?.group_name, report?.steps_completed, report?.rank, report?.origin, report?.metrics],
			["inference", 4, -1, 2, '{"accuracy":0.5}'],
		);
		const trial = await getTrial(db, trialId);
		assert.equal(trial.state, TrialState.COMPLETED);
		assert.equal(JSON.parse(trial.summaryMetricsJson).inference.accuracy.last, 0.5);
		const joined = await ledger.openRun(joinOf(trialId));
		assert.deepEqual(joined, { open: false, trialRunId: 1, state: TrialRunState.COMPLETED, reason: "" });
	});

	it("refuses results that are malformed", async () => {
		const { ledger, trialId } = await open();
		for (const [result, message] of [
			[{ group: "a.b", metricsJson: "{}" }, /metric group cannot contain '\.'/],
			[{ group: "a", metricsJson: "[]" }, /results\[0\]\.metrics_json is JSON of another kind/],
		] as const) {
			const results = [create(ReducedMetricsSchema, result)];
			await assert.rejects(ledger.finishRun(trialId, 1, results), refused(message, "invalid_argument"));
		}
	});

	it("lets only the finish that completes the trial count, however many runs tried", async () => {
		const fixture = await open();
		const { db, ledger, trialId } = fixture;
		const writer = new MetricWriter(db);
		const finish = async (worker: Awaited<ReturnType<typeof startRun>>, commitNumber: number) => {
			const { member, trialRunId } = worker;
			const { statuses } = await writer.report({
				sender: { clientId: randomUUID(), caller: "user 1" },
				sequence: 1,
				reports: [
					{
						...{ trialId, trialRunId, rank: 0, part: 0, commitNumber, group: "end", stepsCompleted: 1 },
						...{ endTime: undefined, metricsJson: "{}", metrics: {}, batchMetricsJson: "", member, source: undefined },
					},
				],
			});
			assert.equal(statuses[0]?.code, 0);
			const outputs = [{ path: `r${trialRunId}/end`, sizeBytes: 1n, sha256: "" }];
			await worker.commit({ commitNumber, step: 1, finish: true, outputs });
		};
		const first = await startRun(fixture);
		await first.commit({ commitNumber: 1, step: 1, ranges: [{ first: 0n, end: 10n }] });
		await finish(first, 2);
		await ledger.closeRun(trialId, 1, TrialRunState.FAILED, "lost before FinishRun");
		const second = await startRun(fixture);
		assert.deepEqual(await reports(db), []);
		await finish(second, 1);
		await ledger.finishRun(trialId, 2, results);
		assert.deepEqual(
			(await db.all<{ trial_run_id: number; origin: number }>("SELECT * FROM metric_reports WHERE archived = 0")).map(
				(row) => [row.trial_run_id, row.origin],
			),
			[
				[2, 1],
				[2, 2],
			],
		);
		assert.deepEqual(
			(await listOutputs(db, trialId, "", 10)).map((output) => output.file?.path),
			["r2/end"],
		);
	});
});

describe("lastProgress", { timeout: 30_000 }, () => {
	it("says how far a member was", async () => {
		const fixture = await open();
		const worker = await startRun(fixture);
		assert.deepEqual(await fixture.ledger.lastProgress(worker.member), { step: 0, text: "no commit yet" });
		await worker.commit({ commitNumber: 1, step: 5, ranges: [{ first: 0n, end: 8n }] });
		assert.deepEqual(await fixture.ledger.lastProgress(worker.member), {
			step: 5,
			text: "last commit: step 5, 8 records",
		});
	});
});
