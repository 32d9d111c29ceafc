import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { Database } from "../../../../src/server/db/database.js";
import { migrate, migrations } from "../../../../src/server/db/migrate.js";
import { insertTrial } from "../../../support/insert-trial.js";
import { tempDir } from "../../../support/temp-dir.js";

describe("commitSums", { timeout: 30_000 }, () => {
	it("adds up what the workers of open runs had committed before", async () => {
		const db = await Database.open(tempDir());
		after(() => db.close());
		await migrate(db, migrations.slice(0, 7));
		await db.write(async (tx) => {
			await insertTrial(tx);
			await tx.run(
				`INSERT INTO trial_runs (trial_id, trial_run_id, world_size, state, base_step, start_time)
				VALUES (1, 1, 2, 'FAILED', 0, 1), (1, 2, 2, 'RUNNING', 0, 2)`,
			);
			await tx.run(
				`INSERT INTO commits
					(trial_id, trial_run_id, rank, member_uuid, commit_number, part, step, finish, record_count, response, time)
				SELECT 1, value ->> 0, value ->> 1, 'm' || (value ->> 1), value ->> 2, 0, 0, 0, value ->> 3, x'', 0
				FROM json_each('[[1,0,1,50],[2,0,1,10],[2,0,2,20],[2,0,3,5],[2,1,1,7]]')`,
			);
		});
		await migrate(db);
		const sums = await db.all<{ run_records: number }>(
			"SELECT run_records FROM commits WHERE trial_id = 1 ORDER BY trial_run_id, rank, commit_number",
		);
		assert.deepEqual(
			sums.map((row) => row.run_records),
			[0, 10, 30, 35, 7],
		);
	});
});
