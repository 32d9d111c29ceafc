import type { Migration } from "../migrate.js";

const progressUnits = (row: "new" | "old" | "trials") => `CAST(round(1e12 * ${row}.progress) AS INTEGER)`;

/** What experiments and trials are found and sorted by, and what their programs say of themselves. */
export const experimentLists: Migration = {
	name: "experiment-lists",
	statements: [
		"ALTER TABLE trials ADD COLUMN metadata TEXT NOT NULL DEFAULT '{}'",
		"ALTER TABLE trials ADD COLUMN status TEXT NOT NULL DEFAULT ''",
		"ALTER TABLE trials ADD COLUMN cancel_requested INTEGER NOT NULL DEFAULT 0",
		// What the trial's own program reported. That of batch processing follows from its records.
		"ALTER TABLE trials ADD COLUMN reported_progress REAL NOT NULL DEFAULT 0",
		`ALTER TABLE trials ADD COLUMN progress REAL NOT NULL GENERATED ALWAYS AS (CASE
			WHEN state = 'COMPLETED' THEN 1.0
			WHEN goal_end IS NULL THEN reported_progress
			WHEN goal_end > 0 THEN 1.0 * (records_done + records_failed) / goal_end
			ELSE 0.0
		END) VIRTUAL`,
		"CREATE INDEX trials_by_end ON trials (experiment_id, end_time)",
		"CREATE INDEX trials_by_state ON trials (state)",
		// The other indexes leave out what is archived, and SQLite looks for all reports of a trial that is deleted.
		"CREATE INDEX metric_reports_by_trial ON metric_reports (trial_id)",
		// The output directories of deleted trials that the storage still has.
		`CREATE TABLE output_removals (
			output_uuid TEXT PRIMARY KEY,
			storage TEXT NOT NULL
		) STRICT, WITHOUT ROWID`,
		"ALTER TABLE experiments ADD COLUMN notes TEXT NOT NULL DEFAULT ''",
		"ALTER TABLE experiments ADD COLUMN archived INTEGER NOT NULL DEFAULT 0",
		"ALTER TABLE experiments ADD COLUMN username TEXT NOT NULL DEFAULT 'determined'",
		"CREATE INDEX experiments_by_name ON experiments (name)",
		"CREATE INDEX experiments_by_description ON experiments (description)",
		"CREATE INDEX experiments_by_start ON experiments (create_time)",
		"CREATE INDEX experiments_by_user ON experiments (username)",
		// What follows from an experiment's trials. Apart from its row, whose configuration may be long: each commit of
		// a trial writes here. The state is the number of the protos' enum, which it is sorted by. What may still run
		// comes first, then what failed. Progress is summed in whole units, which leave no rounding behind. In end_order, one
		// that has not ended comes after all that have.
		`CREATE TABLE experiment_totals (
			experiment_id INTEGER PRIMARY KEY REFERENCES experiments (id) ON DELETE CASCADE,
			trial_count INTEGER NOT NULL DEFAULT 0,
			active_count INTEGER NOT NULL DEFAULT 0,
			paused_count INTEGER NOT NULL DEFAULT 0,
			error_count INTEGER NOT NULL DEFAULT 0,
			canceled_count INTEGER NOT NULL DEFAULT 0,
			ended_count INTEGER NOT NULL DEFAULT 0,
			progress_units INTEGER NOT NULL DEFAULT 0,
			end_time INTEGER,
			end_order INTEGER NOT NULL GENERATED ALWAYS AS (ifnull(end_time, 9007199254740991)) VIRTUAL,
			state INTEGER NOT NULL GENERATED ALWAYS AS (CASE
				WHEN trial_count = 0 OR active_count > 0 THEN 1
				WHEN paused_count > 0 THEN 2
				WHEN error_count > 0 THEN 5
				WHEN canceled_count > 0 THEN 4
				ELSE 3
			END) VIRTUAL,
			progress REAL NOT NULL GENERATED ALWAYS AS (
				CASE trial_count WHEN 0 THEN 0.0 ELSE progress_units / 1e12 / trial_count END
			) VIRTUAL
		) STRICT`,
		`INSERT INTO experiment_totals
			(experiment_id, trial_count, active_count, paused_count, error_count, canceled_count, ended_count,
				progress_units, end_time)
		SELECT experiments.id, count(trials.id), ifnull(sum(state = 'ACTIVE'), 0), ifnull(sum(state = 'PAUSED'), 0),
			ifnull(sum(state = 'ERROR'), 0), ifnull(sum(state = 'CANCELED'), 0), count(end_time),
			ifnull(sum(${progressUnits("trials")}), 0), CASE WHEN count(trials.id) = count(end_time) THEN max(end_time) END
		FROM experiments LEFT JOIN trials ON trials.experiment_id = experiments.id GROUP BY experiments.id`,
		"CREATE INDEX experiment_totals_by_state ON experiment_totals (state)",
		"CREATE INDEX experiment_totals_by_trials ON experiment_totals (trial_count)",
		"CREATE INDEX experiment_totals_by_progress ON experiment_totals (progress)",
		"CREATE INDEX experiment_totals_by_end ON experiment_totals (end_order)",
		`CREATE TRIGGER experiment_created AFTER INSERT ON experiments BEGIN
			INSERT INTO experiment_totals (experiment_id) VALUES (new.id);
		END`,
		`CREATE TRIGGER trial_created AFTER INSERT ON trials BEGIN
			UPDATE experiment_totals SET
				trial_count = trial_count + 1,
				active_count = active_count + (new.state = 'ACTIVE'),
				paused_count = paused_count + (new.state = 'PAUSED'),
				error_count = error_count + (new.state = 'ERROR'),
				canceled_count = canceled_count + (new.state = 'CANCELED'),
				ended_count = ended_count + (new.end_time IS NOT NULL),
				progress_units = progress_units + ${progressUnits("new")},
				end_time = CASE WHEN new.end_time IS NOT NULL AND ended_count = trial_count
					THEN max(new.end_time, ifnull(end_time, 0)) END
			WHERE experiment_id = new.experiment_id;
		END`,
		`CREATE TRIGGER trial_changed AFTER UPDATE OF state, end_time ON trials
		WHEN old.state IS NOT new.state OR old.end_time IS NOT new.end_time BEGIN
			UPDATE experiment_totals SET
				active_count = active_count + (new.state = 'ACTIVE') - (old.state = 'ACTIVE'),
				paused_count = paused_count + (new.state = 'PAUSED') - (old.state = 'PAUSED'),
				error_count = error_count + (new.state = 'ERROR') - (old.state = 'ERROR'),
				canceled_count = canceled_count + (new.state = 'CANCELED') - (old.state = 'CANCELED'),
				ended_count = ended_count + (new.end_time IS NOT NULL) - (old.end_time IS NOT NULL)
			WHERE experiment_id = new.experiment_id;
			UPDATE experiment_totals SET end_time = CASE WHEN ended_count = trial_count
				THEN (SELECT max(end_time) FROM trials WHERE experiment_id = new.experiment_id) END
			WHERE experiment_id = new.experiment_id;
		END`,
		`CREATE TRIGGER trial_moved AFTER UPDATE OF state, goal_end, records_done, records_failed, reported_progress ON trials
		WHEN old.progress <> new.progress BEGIN
			UPDATE experiment_totals SET progress_units = progress_units + ${progressUnits("new")} - ${progressUnits("old")}
			WHERE experiment_id = new.experiment_id;
		END`,
	],
};
