import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { CreateTrialResponseSchema } from "../../../src/gen/millrace/v1/trial_service_pb.js";
import { Database } from "../../../src/server/db/database.js";
import { answersKeptMs, forgetOldAnswers } from "../../../src/server/db/first-answers.js";
import { MetricWriter } from "../../../src/server/db/metric-writer.js";
import { migrate } from "../../../src/server/db/migrate.js";
import { once } from "../../../src/server/db/request-ids.js";
import { tempDir } from "../../support/temp-dir.js";

describe("forgetOldAnswers", () => {
	it("forgets what is older than the time that answers are kept, and nothing else", async () => {
		let now = Date.now();
		const closers: (() => unknown)[] = [];
		// Registered before the directory's own removal, so that it runs before it.
		after(() => Promise.all(closers.map((close) => close())));
		const db = await Database.open(tempDir(), { now: () => now });
		closers.push(() => db.close());
		await migrate(db);
		const reports = new MetricWriter(db);
		const answer = async (name: string) => {
			await db.write((tx) => once(tx, name, CreateTrialResponseSchema, async () => create(CreateTrialResponseSchema)));
			await reports.report({ sender: { clientId: name, caller: "user 1" }, sequence: 1, reports: [] });
		};
		const kept = async () => [
			await db.all("SELECT request_id AS name FROM request_ids ORDER BY time"),
			await db.all("SELECT client_id AS name FROM report_clients ORDER BY time"),
		];
		await answer("old");
		now += 1_000;
		await answer("young");
		now += answersKeptMs - 1_000;
		await forgetOldAnswers(db);
		assert.deepEqual(await kept(), [
			[{ name: "old" }, { name: "young" }],
			[{ name: "old" }, { name: "young" }],
		]);
		now += 1;
		await forgetOldAnswers(db);
		assert.deepEqual(await kept(), [[{ name: "young" }], [{ name: "young" }]]);
	});
});
