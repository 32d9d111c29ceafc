import type { Migration } from "../migrate.js";

/** What a metric report is about, and in which order reports were written. */
export const metricSources: Migration = {
	name: "metric-sources",
	statements: [
		// All three are 0 for a report that names nothing, the last two for one that names a checkpoint alone. They refer
		// to nothing by foreign key, as a version may be deleted.
		"ALTER TABLE metric_reports ADD COLUMN checkpoint_id INTEGER NOT NULL DEFAULT 0",
		"ALTER TABLE metric_reports ADD COLUMN model_id INTEGER NOT NULL DEFAULT 0",
		"ALTER TABLE metric_reports ADD COLUMN version INTEGER NOT NULL DEFAULT 0",
		"DROP INDEX metric_reports_by_key",
		`CREATE UNIQUE INDEX metric_reports_by_key ON metric_reports
			(trial_id, group_name, steps_completed, trial_run_id, rank, part, commit_number, origin,
				checkpoint_id, model_id, version) WHERE archived = 0`,
		// The number of the row's last change, which no other has: its id, until another report merges into it.
		"ALTER TABLE metric_reports ADD COLUMN revision INTEGER NOT NULL DEFAULT 0",
		"UPDATE metric_reports SET revision = id",
		"CREATE INDEX metric_reports_by_revision ON metric_reports (trial_id, revision) WHERE archived = 0",
		// Gives the numbers of ids and revisions.
		"CREATE TABLE metric_clock (id INTEGER PRIMARY KEY CHECK (id = 1), last INTEGER NOT NULL) STRICT",
		"INSERT INTO metric_clock SELECT 1, ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'metric_reports'), 0)",
		// The most steps completed of the reports that are not archived. max_step is what was committed.
		"ALTER TABLE trials ADD COLUMN reported_step INTEGER NOT NULL DEFAULT 0",
		`UPDATE trials SET reported_step = ifnull((
			SELECT max(steps_completed) FROM metric_reports WHERE trial_id = trials.id AND archived = 0
		), 0)`,
		// The text of a summary holds more than before.
		"UPDATE trials SET summary = '{}', summary_stale = summary_stale + 1 WHERE summary <> '{}'",
	],
};
