import assert from "node:assert/strict";
import { cpSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { Database } from "../../src/server/db/database.js";
import { tempDir } from "../support/temp-dir.js";
import { playRound } from "./round.js";
import type { RoundPlan } from "./round-plan.js";
import { undisturbed } from "./step-plans.js";
import { verifyTrial } from "./verify.js";

const plan: RoundPlan = { ...undisturbed, usesModel: true, gathers: true };
const directory = join(tempDir(), "round");
const { problems } = await playRound(plan, directory, 60_000);
const data = join(directory, "data");

describe("verifyTrial", () => {
	it("finds nothing in an undisturbed trial", () => {
		assert.deepEqual(problems, []);
	});

	const tampered: [what: string, sql: string, problem: RegExp][] = [
		[
			"a report that is not there",
			"UPDATE metric_reports SET archived = 1 WHERE id = (SELECT min(id) FROM metric_reports)",
			/the reports lack 5 records/,
		],
		[
			"a report that is there twice",
			"INSERT INTO metric_reports (trial_id, trial_run_id, rank, part, commit_number, origin, group_name, steps_completed, end_time, metrics, batch_metrics) SELECT trial_id, trial_run_id, rank, part, 99, origin, group_name, steps_completed, end_time, metrics, batch_metrics FROM metric_reports WHERE id = 1",
			/the reports have 5 records more than once[\s\S]*no commit confirms the report/,
		],
		[
			"a wrong result",
			"UPDATE metric_reports SET metrics = '{\"sum\":1}' WHERE group_name = 'validation'",
			/group validation is \[\{"sum":1\}\]/,
		],
		[
			"an onFinish that was not reported",
			"DELETE FROM metric_reports WHERE group_name = 'finish' AND rank = 1",
			/onFinish was reported by the ranks \[0\] of 2/,
		],
		[
			"a range that is not done",
			"DELETE FROM done_ranges WHERE first_record = 0",
			/the done ranges lack \d+ records: 0, 1, 2/,
		],
		[
			"an output that no manifest names",
			"DELETE FROM output_files WHERE rank = 1",
			/no manifest names the file r1-w1-p0-/,
		],
		[
			"a record that failed",
			"INSERT INTO trial_errors (trial_id, record, trial_run_id, rank, error, stack, time) VALUES (1, 3, 1, 0, '', '', 0)",
			/the records \[3\] failed, not \[\]/,
		],
		[
			"a trial that is not completed",
			"UPDATE trials SET state = 'ACTIVE'",
			/the trial is ACTIVE with 60 records done, not 60/,
		],
	];
	for (const [what, sql, problem] of tampered) {
		it(`finds ${what}`, async () => {
			const copy = join(tempDir(), "data");
			cpSync(data, copy, { recursive: true });
			const db = await Database.open(copy);
			await db.write((tx) => tx.run(sql));
			await db.close();
			assert.match((await verifyTrial(plan, copy, 1)).join("\n"), problem);
		});
	}

	it("finds an output whose bytes have changed", async () => {
		const files = readdirSync(data, { recursive: true, encoding: "utf8" }).filter((path) =>
			path.endsWith("values.txt"),
		);
		const file = join(data, files[0] ?? "");
		const text = readFileSync(file, "utf8");
		writeFileSync(file, text.replace(/\d\n$/, "x\n"));
		assert.match((await verifyTrial(plan, data, 1)).join("\n"), /the outputs cannot be read: .*digest/);
		writeFileSync(file, text);
	});
});
