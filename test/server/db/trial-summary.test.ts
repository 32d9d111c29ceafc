import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import type { Trial } from "../../../src/gen/millrace/v1/trial_pb.js";
import { TrialRunState } from "../../../src/gen/millrace/v1/trial_pb.js";
import { Database } from "../../../src/server/db/database.js";
import { type AdmittedReport, storeReports } from "../../../src/server/db/metric-reports.js";
import { migrate } from "../../../src/server/db/migrate.js";
import { closeRun, startRun } from "../../../src/server/db/trial-runs.js";
import { getFreshTrial } from "../../../src/server/db/trial-summary.js";
import { getTrialRow } from "../../../src/server/db/trials.js";
import { tempDir } from "../../support/temp-dir.js";

/** A trial whose first run has confirmed nothing of what it reported. */
async function openDatabase(): Promise<Database> {
	let db: Database | undefined;
	after(() => db?.close());
	db = await Database.open(tempDir());
	await migrate(db);
	await db.write(async (tx) => {
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
});
