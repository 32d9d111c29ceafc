import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { ReportMetricsResponseSchema } from "../../../../src/gen/millrace/v1/metric_service_pb.js";
import { Database } from "../../../../src/server/db/database.js";
import { MetricWriter } from "../../../../src/server/db/metric-writer.js";
import { migrate, migrations } from "../../../../src/server/db/migrate.js";
import { hasOpenSender, writeLogs } from "../../../../src/server/db/trial-logs.js";
import { insertTrial } from "../../../support/insert-trial.js";
import { tempDir } from "../../../support/temp-dir.js";

async function databaseOfBefore(): Promise<Database> {
	let db: Database | undefined;
	after(() => db?.close());
	db = await Database.open(tempDir());
	await migrate(db, migrations.slice(0, 9));
	const answer = create(ReportMetricsResponseSchema, { statuses: [{ code: 6, message: "the first answer" }] });
	await db.write(async (tx) => {
		await insertTrial(tx);
		await tx.run(
			"INSERT INTO report_clients (client_id, sequence, response, time) VALUES ('c', 7, ?, ?)",
			Buffer.from(toBinary(ReportMetricsResponseSchema, answer)),
			tx.now,
		);
		await tx.run(
			"INSERT INTO log_senders (client_id, trial_id, sequence, done, time) VALUES ('c', 1, 7, 0, ?)",
			tx.now,
		);
	});
	await migrate(db);
	return db;
}

const mine = { clientId: "c", caller: "workers of trial 1" };
const others = { clientId: "c", caller: "workers of trial 2" };

describe("senders", { timeout: 30_000 }, () => {
	it("answers a call of reports that was answered before, and lets nobody stand in the way of the next ones", async () => {
		const writer = new MetricWriter(await databaseOfBefore());
		const statuses = async (sender: typeof mine, sequence: number) =>
			(await writer.report({ sender, sequence, reports: [] })).statuses.map(({ message }) => message);
		await statuses(others, 100);
		assert.deepEqual(await statuses(mine, 7), ["the first answer"]);
		await assert.rejects(statuses(mine, 6), { code: "failed_precondition" });
		assert.deepEqual(await statuses(mine, 8), []);
		await assert.rejects(statuses(mine, 7), { code: "failed_precondition" });
	});

	it("stores no lines twice that were stored before, and waits for the sender under its new name only", async () => {
		const db = await databaseOfBefore();
		const write = (sequence: number, isLast: boolean) =>
			db.write((tx) => writeLogs(tx, { sender: mine, sequence, trialId: 1, lines: [], isLast }));
		await write(7, true);
		assert.equal(await hasOpenSender(db, 1), true, "it was a repetition");
		await write(8, false);
		assert.equal(await hasOpenSender(db, 1), true);
		await write(9, true);
		assert.equal(await hasOpenSender(db, 1), false);
		await assert.rejects(write(7, false), { code: "failed_precondition" });
	});
});
