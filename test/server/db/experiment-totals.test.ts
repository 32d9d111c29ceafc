import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { Database } from "../../../src/server/db/database.js";
import { createExperiment } from "../../../src/server/db/experiments.js";
import { migrate, migrations } from "../../../src/server/db/migrate.js";
import { createTrial, setTrialState } from "../../../src/server/db/trials.js";
import { directoryStorageAt } from "../../../src/server/storage-config.js";
import { tempDir } from "../../support/temp-dir.js";

async function openDatabase(): Promise<Database> {
	let db: Database | undefined;
	after(() => db?.close());
	db = await Database.open(tempDir());
	return db;
}

/** The totals as they are stored. */
const stored = `SELECT experiment_id, trial_count, state, round(progress, 9) AS progress, end_time
	FROM experiment_totals ORDER BY experiment_id`;

/** The totals as the trials give them, by the rules in words: what may run comes first, then what failed. */
const computed = `SELECT experiments.id AS experiment_id, count(trials.id) AS trial_count,
	CASE
		WHEN count(trials.id) = 0 OR sum(state = 'ACTIVE') THEN 1
		WHEN sum(state = 'PAUSED') THEN 2
		WHEN sum(state = 'ERROR') THEN 5
		WHEN sum(state = 'CANCELED') THEN 4
		ELSE 3
	END AS state,
	round(ifnull(avg(CASE
		WHEN state = 'COMPLETED' THEN 1.0
		WHEN goal_end > 0 THEN 1.0 * (records_done + records_failed) / goal_end
		WHEN goal_end = 0 THEN 0.0
		ELSE reported_progress
	END), 0.0), 9) AS progress,
	CASE WHEN count(trials.id) = count(trials.end_time) THEN max(trials.end_time) END AS end_time
	FROM experiments LEFT JOIN trials ON experiment_id = experiments.id GROUP BY experiments.id ORDER BY experiments.id`;

const states = ["ACTIVE", "PAUSED", "COMPLETED", "CANCELED", "ERROR"] as const;

describe("what follows from the trials of an experiment", { timeout: 60_000 }, () => {
	it("is kept true by every change of a trial", async () => {
		const db = await openDatabase();
		await migrate(db);
		const experiment = {
			name: "e",
			description: "",
			labels: [],
			config: {},
			storage: directoryStorageAt("/storage"),
			username: "u",
		};
		const seen = new Set<string>();
		let seed = 7;
		const random = (below: number) => {
			seed = (seed * 48_271) % 2_147_483_647;
			return Math.floor((seed / 2_147_483_647) * below);
		};
		for (let i = 0; i < 3; i++) {
			await db.write((tx) => createExperiment(tx, experiment));
		}
		for (let i = 0; i < 400; i++) {
			await db.write(async (tx) => {
				const trials = await tx.all<{ id: number }>("SELECT id FROM trials");
				const id = trials[random(trials.length || 1)]?.id;
				if (id === undefined || trials.length < 8) {
					await createTrial(tx, { experimentId: 1 + random(2), hparams: {}, maxRestarts: 0 });
					return;
				}
				switch (random(4)) {
					case 0:
						await setTrialState(tx, id, states[random(states.length)] ?? "ACTIVE");
						break;
					case 1:
						await tx.run("UPDATE trials SET goal_end = 30, records_done = 0 WHERE id = ?", id);
						break;
					case 2:
						await tx.run("UPDATE trials SET records_done = min(30, records_done + 7) WHERE id = ?", id);
						break;
					default:
						await tx.run("UPDATE trials SET reported_progress = ? WHERE id = ?", random(100) / 100, id);
				}
			});
			if (i % 10 === 0) {
				assert.deepEqual(await db.all(stored), await db.all(computed), `after ${i} changes`);
				for (const { state } of await db.all<{ state: string }>("SELECT DISTINCT state FROM trials")) {
					seen.add(state);
				}
			}
		}
		assert.deepEqual([...seen].toSorted(), states.toSorted());
	});

	it("leaves no rounding behind when all is done", async () => {
		const db = await openDatabase();
		await migrate(db);
		const experiment = {
			name: "e",
			description: "",
			labels: [],
			config: {},
			storage: directoryStorageAt("/storage"),
			username: "u",
		};
		await db.write((tx) => createExperiment(tx, experiment));
		for (let i = 0; i < 7; i++) {
			await db.write((tx) => createTrial(tx, { experimentId: 1, hparams: {}, maxRestarts: 0 }));
		}
		for (let done = 1; done <= 3; done++) {
			await db.write((tx) => tx.run("UPDATE trials SET goal_end = 3, records_done = ?", done));
		}
		assert.deepEqual(await db.all("SELECT progress, progress_units FROM experiment_totals"), [
			{ progress: 1, progress_units: 7e12 },
		]);
	});

	it("is filled in for experiments of earlier versions, with what earlier rows lack", async () => {
		const db = await openDatabase();
		await migrate(db, migrations.slice(0, 4));
		await db.write(async (tx) => {
			for (const id of [1, 2, 3]) {
				await tx.run(
					`INSERT INTO experiments (id, name, description, labels, config, storage, create_time)
					VALUES (?, 'old', '', '[]', '{}', '{}', 5)`,
					id,
				);
			}
			const rows = [
				[1, "COMPLETED", 10, 10, 100],
				[1, "ERROR", 10, 5, 200],
				[2, "ACTIVE", null, 0, null],
				[2, "CANCELED", 8, 2, 300],
			];
			for (const [experimentId, state, goal, done, end] of rows) {
				await tx.run(
					`INSERT INTO trials (experiment_id, hparams, state, max_restarts, storage, output_uuid, goal_end, records_done,
						create_time, end_time) VALUES (?, '{}', ?, 0, '{}', 'u', ?, ?, 5, ?)`,
					experimentId ?? null,
					state ?? null,
					goal ?? null,
					done ?? null,
					end ?? null,
				);
			}
		});
		await migrate(db);
		const totals = await db.all(stored);
		assert.deepEqual(totals, await db.all(computed));
		assert.deepEqual(totals, [
			{ experiment_id: 1, trial_count: 2, state: 5, progress: 0.75, end_time: 200 },
			{ experiment_id: 2, trial_count: 2, state: 1, progress: 0.125, end_time: null },
			{ experiment_id: 3, trial_count: 0, state: 1, progress: 0, end_time: null },
		]);
		assert.deepEqual(await db.all("SELECT DISTINCT username, notes, archived FROM experiments"), [
			{ username: "determined", notes: "", archived: 0 },
		]);
		assert.deepEqual(await db.all("SELECT DISTINCT metadata, status, cancel_requested FROM trials"), [
			{ metadata: "{}", status: "", cancel_requested: 0 },
		]);
	});
});
