import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { isMillraceError } from "../../../src/errors.js";
import { Database } from "../../../src/server/db/database.js";
import { followMetrics } from "../../../src/server/db/metric-following.js";
import type { MetricPosition } from "../../../src/server/db/metric-pages.js";
import { storeReports } from "../../../src/server/db/metric-reports.js";
import { noSource } from "../../../src/server/db/metric-sources.js";
import { migrate } from "../../../src/server/db/migrate.js";
import { setTrialState } from "../../../src/server/db/trials.js";
import { tempDir } from "../../support/temp-dir.js";
import { waitUntil } from "../../support/wait-until.js";

async function openDatabase(trialCount: number): Promise<Database> {
	let db: Database | undefined;
	after(() => db?.close());
	db = await Database.open(tempDir());
	await migrate(db);
	await db.write(async (tx) => {
		await tx.run(
			"INSERT INTO experiments (name, description, labels, config, storage, create_time) VALUES ('', '', '[]', '{}', '{}', 0)",
		);
		for (let i = 0; i < trialCount; i++) {
			await tx.run(
				`INSERT INTO trials (experiment_id, hparams, state, max_restarts, storage, output_uuid, create_time)
				VALUES (1, '{}', 'ACTIVE', 5, '{}', '', 0)`,
			);
		}
	});
	return db;
}

function report(db: Database, trialId: number, stepsCompleted: number, metrics: Record<string, number>, group = "g") {
	const key = { trialId, trialRunId: 1, rank: -1, part: -1, commitNumber: 0, group, stepsCompleted };
	const body = { endTime: 0, metricsJson: JSON.stringify(metrics), metrics, batchMetricsJson: "", source: noSource };
	return db.write((tx) => storeReports(tx, [{ ...key, ...body }]));
}

const end = (db: Database, trialId: number) => db.write((tx) => setTrialState(tx, trialId, "COMPLETED"));

/** Follows trials, and keeps what came. */
function follow(db: Database, trialIds: number[], group = "", from?: MetricPosition) {
	const gone = new AbortController();
	const seen: string[] = [];
	const positions: { position: MetricPosition; count: number }[] = [];
	const read = async () => {
		for await (const { reports, position } of followMetrics(db, db, trialIds, group, from, gone.signal)) {
			seen.push(...reports.map((row) => `${row.trialId}@${row.stepsCompleted} ${row.metricsJson}`));
			positions.push({ position, count: seen.length });
		}
	};
	return { seen, positions, gone, ended: read() };
}

describe("followMetrics", { timeout: 120_000 }, () => {
	it("F.35 goes on with what arrives, in that order, until all trials have ended", async () => {
		const db = await openDatabase(3);
		await report(db, 2, 9, { a: 1 });
		await report(db, 1, 9, { a: 2 });
		const follower = follow(db, [2, 1]);
		await waitUntil("what was there", () => follower.seen.length === 2);
		await report(db, 2, 3, { a: 3 });
		await report(db, 1, 2, { a: 4 });
		await report(db, 3, 1, { a: 0 });
		await waitUntil("what arrived", () => follower.seen.length === 4);
		await end(db, 1);
		await report(db, 2, 1, { a: 5 });
		await end(db, 2);
		await follower.ended;
		assert.deepEqual(follower.seen, ['1@9 {"a":2}', '2@9 {"a":1}', '2@3 {"a":3}', '1@2 {"a":4}', '2@1 {"a":5}']);
		assert.equal(db.news.waitingCount, 0);
	});

	it("sends a report again, whole, when another merged into it, and only those of its group", async () => {
		const db = await openDatabase(1);
		await report(db, 1, 1, { a: 1 });
		const follower = follow(db, [1], "g");
		await waitUntil("the report", () => follower.seen.length === 1);
		await report(db, 1, 2, { a: 2 }, "h");
		await report(db, 1, 1, { b: 2 });
		// One that says nothing new is no change.
		await report(db, 1, 1, { b: 2 });
		await end(db, 1);
		await follower.ended;
		assert.deepEqual(follower.seen, ['1@1 {"a":1}', '1@1 {"a":1,"b":2}']);
	});

	it("goes on from any of its positions without gap or double, also where a report merged before it was read", async () => {
		const db = await openDatabase(2);
		for (let step = 1; step <= 600; step++) {
			await report(db, 1 + (step % 2), step, { step });
		}
		const whole = follow(db, [1, 2]);
		await waitUntil("all of it", () => whole.seen.length === 600);
		await report(db, 1, 600, { more: 1 });
		await report(db, 2, 700, { step: 700 });
		await end(db, 1);
		await end(db, 2);
		await whole.ended;
		assert.equal(new Set(whole.seen).size, 602);
		let read = 0;
		for (const { position, count } of whole.positions) {
			const rest = follow(db, [1, 2], "", position);
			await rest.ended;
			// The report that another merged into comes once: it is not as it was when the first reading began.
			const missed = whole.seen.slice(count);
			assert.deepEqual(new Set(rest.seen), new Set(missed.filter((text) => text !== '1@600 {"step":600}')));
			assert.equal(rest.seen.length, new Set(rest.seen).size);
			read += rest.seen.length;
		}
		assert.ok(read > 0);
	});

	it("leaves nothing behind when the follower goes away, and ends with unavailable when the server stops", async () => {
		const db = await openDatabase(1);
		const follower = follow(db, [1]);
		await waitUntil("a follower that waits", () => db.news.waitingCount === 1);
		follower.gone.abort();
		await follower.ended;
		assert.equal(db.news.waitingCount, 0);
		const stopped = follow(db, [1]);
		await waitUntil("a follower that waits", () => db.news.waitingCount === 1);
		db.news.close();
		await assert.rejects(stopped.ended, (error) => isMillraceError(error, "unavailable"));
	});
});
