import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { Database } from "../../../src/server/db/database.js";
import { MetricWriter, type ReportCall, type WellFormedReport } from "../../../src/server/db/metric-writer.js";
import { migrate } from "../../../src/server/db/migrate.js";
import { startRun } from "../../../src/server/db/trial-runs.js";
import { getTrialRow } from "../../../src/server/db/trials.js";
import { tempDir } from "../../support/temp-dir.js";

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
		await startRun(tx, await getTrialRow(tx, 1), { worldSize: 0, owner: { host: "", uuid: "", pid: 0 } });
	});
	return db;
}

function call(client: number, reports: Partial<WellFormedReport>[]): ReportCall {
	return {
		sender: { clientId: `client ${client}`, caller: "user 1" },
		sequence: 1,
		reports: reports.map((report) => ({
			trialId: 1,
			trialRunId: 1,
			rank: -1,
			part: -1,
			commitNumber: 0,
			group: "g",
			stepsCompleted: undefined,
			endTime: undefined,
			metricsJson: "{}",
			metrics: {},
			batchMetricsJson: "",
			member: undefined,
			source: undefined,
			...report,
		})),
	};
}

const storedCount = async (db: Database) =>
	(await db.get<{ count: number }>("SELECT count(*) AS count FROM metric_reports"))?.count;

describe("MetricWriter", { timeout: 60_000 }, () => {
	it("lets a call that cannot be written harm only itself", async () => {
		const db = await openDatabase();
		const writer = new MetricWriter(db);
		const outcomes = await Promise.allSettled(
			Array.from({ length: 10 }, (_, i) => writer.report(call(i, [i === 4 ? { endTime: 1e30 } : {}]))),
		);
		assert.deepEqual(
			outcomes.flatMap(({ status }, i) => (status === "rejected" ? [i] : [])),
			[4],
		);
		assert.equal(await storedCount(db), 9);
	});

	it("writes what waits in groups of a bounded size", async (t) => {
		const db = await openDatabase();
		const writer = new MetricWriter(db);
		const written = t.mock.method(db, "write");
		const metricsJson = `{"a":"${"x".repeat(6 * 1024 * 1024)}"}`;
		// The first is written alone, as nothing waits with it; then two fit, and the one that is over waits.
		await Promise.all([0, 1, 2, 3].map((i) => writer.report(call(i, [{ metricsJson }]))));
		assert.equal(written.mock.callCount(), 3);
		await Promise.all(
			[4, 5, 6].map((i) =>
				writer.report(
					call(
						i,
						Array.from({ length: 6_000 }, () => ({})),
					),
				),
			),
		);
		assert.equal(written.mock.callCount(), 6);
		assert.equal(await storedCount(db), 18_004);
	});
});
