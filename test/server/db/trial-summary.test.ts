import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import type { Trial } from "../../../src/gen/millrace/v1/trial_pb.js";
import { TrialRunState } from "../../../src/gen/millrace/v1/trial_pb.js";
import { Database } from "../../../src/server/db/database.js";
import { storeReports } from "../../../src/server/db/metric-reports.js";
import type { AdmittedReport } from "../../../src/server/db/metric-rows.js";
import { noSource } from "../../../src/server/db/metric-sources.js";
import { migrate } from "../../../src/server/db/migrate.js";
import { closeRun, startRun } from "../../../src/server/db/trial-runs.js";
import { freshRow, getFreshTrial, markSummaryStale } from "../../../src/server/db/trial-summary.js";
import { getTrialRow } from "../../../src/server/db/trials.js";
import { Random } from "../../chaos/random.js";
import { tempDir } from "../../support/temp-dir.js";

/** A trial whose first run has confirmed nothing of what it reported. */
async function openDatabase(): Promise<Database> {
	let db: Database | undefined;
	after(() => db?.close());
	db = await Database.open(tempDir());
	await migrate(db);
	await db.write(async (tx) => {
		await tx.run(
			"INSERT INTO checkpoints (id, uuid, state, metadata, storage, report_time) VALUES (7, '', 'COMPLETED', '{}', '{}', 0)",
		);
		await tx.run(
			"INSERT INTO experiments (name, description, labels, config, storage, create_time) VALUES ('', '', '[]', '{}', '{}', 0)",
		);
		await tx.run(
			`INSERT INTO trials (experiment_id, hparams, state, max_restarts, storage, output_uuid, create_time)
			VALUES (1, '{}', 'ACTIVE', 5, '{}', '', 0)`,
		);
		await startRun(tx, await getTrialRow(tx, 1), { worldSize: 1, owner: { host: "", uuid: "", pid: 0 } });
		await tx.run(
			`INSERT INTO members (trial_id, trial_run_id, rank, member_uuid, host, pid, local_rank, local_world_size, node_rank, join_time)
			VALUES (1, 1, 0, '', '', 0, 0, 1, 0, 0)`,
		);
	});
	return db;
}

async function report(db: Database, value: number, commitNumber = 0): Promise<void> {
	const metrics = { loss: value };
	const origin = commitNumber > 0 ? { rank: 0, part: 0 } : { rank: -1, part: -1 };
	const stored: AdmittedReport = {
		trialId: 1,
		trialRunId: 1,
		...origin,
		commitNumber,
		group: "g",
		stepsCompleted: undefined,
		endTime: value,
		metricsJson: JSON.stringify(metrics),
		metrics,
		batchMetricsJson: "",
		source: noSource,
	};
	await db.write((tx) => storeReports(tx, [stored]));
}

function sumOf({ summaryMetricsJson }: Trial): number | undefined {
	return JSON.parse(summaryMetricsJson).g?.loss.sum;
}

describe("a trial's summary", { timeout: 60_000 }, () => {
	it("is not computed anew with the end of a run, but by whoever reads it", async () => {
		const db = await openDatabase();
		await report(db, 1);
		await report(db, 10, 1);
		const { summary } = await getTrialRow(db, 1);
		await db.write((tx) => closeRun(tx, 1, 1, TrialRunState.FAILED, ""));
		const closed = await getTrialRow(db, 1);
		assert.deepEqual([closed.summary, closed.summary_stale > 0], [summary, true]);
		await report(db, 2);
		assert.equal((await getTrialRow(db, 1)).summary, summary);
		assert.equal(sumOf(await getFreshTrial(db, 1)), 3);
		assert.equal((await getTrialRow(db, 1)).summary_stale, 0);
		await report(db, 4);
		assert.equal(sumOf(await getFreshTrial(db, 1)), 7);
	});

	it("misses no report that comes while it is computed", async () => {
		const db = await openDatabase();
		await report(db, 10, 1);
		await db.write((tx) => closeRun(tx, 1, 1, TrialRunState.FAILED, ""));
		const reads = Array.from({ length: 4 }, () => getFreshTrial(db, 1));
		for (let value = 1; value <= 8; value++) {
			await report(db, value);
		}
		await Promise.all(reads);
		assert.equal(sumOf(await getFreshTrial(db, 1)), 36);
		assert.equal((await getTrialRow(db, 1)).summary_stale, 0);
	});

	it("is not what a slow reader computed before another one, and a change after that", async () => {
		const db = await openDatabase();
		await report(db, 1);
		await db.write((tx) => markSummaryStale(tx, 1));
		const known = await getTrialRow(db, 1);
		await freshRow(db, known);
		await db.write(async (tx) => {
			await tx.run("UPDATE metric_reports SET archived = 1");
			await markSummaryStale(tx, 1);
		});
		// The slow reader's number is that of its own reading.
		assert.notEqual((await getTrialRow(db, 1)).summary_stale, known.summary_stale);
		assert.equal(sumOf(await getFreshTrial(db, 1)), undefined);
	});

	it("F.30 is at any time what a computation from the stored rows gives, whatever was reported, merged and archived", async () => {
		for (const seed of ["brook", "weir", "sluice"]) {
			const db = await openDatabase();
			const random = new Random(seed);
			let run = 1;
			let merged = 0;
			for (let round = 0; round < 60; round++) {
				if (random.chance(0.1)) {
					await db.write((tx) => closeRun(tx, 1, run, TrialRunState.PREEMPTED, ""));
					await db.write(async (tx) =>
						startRun(tx, await getTrialRow(tx, 1), { worldSize: 0, owner: { host: "", uuid: "", pid: 0 } }),
					);
					run++;
				}
				const reports = Array.from({ length: random.integer(1, 12) }, () => randomReport(random, run));
				const before = await rowCount(db);
				await db.write((tx) => storeReports(tx, reports));
				merged += before + reports.length - (await rowCount(db));
				const { summary } = await freshRow(db, await getTrialRow(db, 1));
				await db.write((tx) => markSummaryStale(tx, 1));
				const computed = await freshRow(db, await getTrialRow(db, 1));
				assert.deepEqual(JSON.parse(summary), JSON.parse(computed.summary), `seed ${seed}, round ${round}`);
				assert.equal(computed.reported_step, await mostSteps(db), `seed ${seed}, round ${round}`);
			}
			assert.ok(merged > 20, `${merged} reports merged or were refused`);
		}
	});
});

const values = [0.1, 0.7, -3, 1e20, -1e20, 1e-300, "NaN", "Infinity", "-Infinity", "text", true, null, [1], { x: 1 }];

function randomReport(random: Random, trialRunId: number): AdmittedReport {
	const names = ["a", "b", "c", "d", "__proto__"].filter(() => random.chance(0.4));
	const value = () => (random.chance(0.6) ? random.next() : random.pick(values));
	const metricsJson = JSON.stringify(Object.fromEntries(names.map((name) => [name, value()])));
	const isWork = random.chance(0.3);
	return {
		...{ trialId: 1, trialRunId, group: random.pick(["g", "h", "memory"]) },
		...(isWork ? { rank: 0, part: 0, commitNumber: 1 } : { rank: random.integer(-1, 0), part: -1, commitNumber: 0 }),
		stepsCompleted: random.chance(0.1) ? undefined : random.integer(0, 8),
		endTime: random.integer(1, 5),
		...{ metricsJson, metrics: JSON.parse(metricsJson), batchMetricsJson: "" },
		source: random.chance(0.05) ? { checkpointId: 7, modelId: 0, version: 0 } : noSource,
	};
}

async function rowCount(db: Database): Promise<number> {
	return (await db.get<{ count: number }>("SELECT count(*) AS count FROM metric_reports"))?.count ?? 0;
}

async function mostSteps(db: Database): Promise<number> {
	const row = await db.get<{ steps: number | null }>(
		"SELECT max(steps_completed) AS steps FROM metric_reports WHERE archived = 0",
	);
	return row?.steps ?? 0;
}
