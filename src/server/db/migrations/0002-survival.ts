import type { Migration } from "../migrate.js";

/** What a run needs to survive its owner, an error of the user's code, and a signal. */
export const survival: Migration = {
	name: "survival",
	statements: [
		// owner_uuid is empty where workers formed the run by themselves, and owner_pid then 0.
		"ALTER TABLE trial_runs ADD COLUMN owner_uuid TEXT NOT NULL DEFAULT ''",
		"ALTER TABLE trial_runs ADD COLUMN owner_pid INTEGER NOT NULL DEFAULT 0",
		// 1 from a request to preempt this run; the trial's own pause_requested outlives the run.
		"ALTER TABLE trial_runs ADD COLUMN preempt_requested INTEGER NOT NULL DEFAULT 0",
		// Why, in the words of who asked first.
		"ALTER TABLE trial_runs ADD COLUMN preempt_reason TEXT NOT NULL DEFAULT ''",
		// The part that the member is at. Writes of an earlier one are refused.
		"ALTER TABLE members ADD COLUMN part INTEGER NOT NULL DEFAULT 0",
		"ALTER TABLE trials ADD COLUMN records_failed INTEGER NOT NULL DEFAULT 0",
		// Counts what changed since the summary was true; it is 0 where that is still so.
		"ALTER TABLE trials ADD COLUMN summary_stale INTEGER NOT NULL DEFAULT 0",
		"CREATE INDEX open_runs ON trial_runs (trial_id, trial_run_id) WHERE state IN ('FORMING', 'RUNNING')",
		// A dead letter is not among the done ranges; the trial is finished when each record is one or the other.
		`CREATE TABLE trial_errors (
			trial_id INTEGER NOT NULL REFERENCES trials (id),
			record INTEGER NOT NULL,
			trial_run_id INTEGER NOT NULL,
			rank INTEGER NOT NULL,
			error TEXT NOT NULL,
			stack TEXT NOT NULL,
			time INTEGER NOT NULL,
			PRIMARY KEY (trial_id, record)
		) STRICT, WITHOUT ROWID`,
		// The records that are batches of their own in the runs after this one, as they belonged to a batch with an error.
		`CREATE TABLE alone_records (
			trial_id INTEGER NOT NULL REFERENCES trials (id),
			record INTEGER NOT NULL,
			trial_run_id INTEGER NOT NULL,
			PRIMARY KEY (trial_id, record)
		) STRICT, WITHOUT ROWID`,
		// The reports of batch processing that no commit confirms yet are the last ones of their rank.
		`CREATE INDEX metric_reports_to_confirm ON metric_reports (trial_id, trial_run_id, rank, commit_number)
			WHERE origin = 1 AND archived = 0`,
	],
};
