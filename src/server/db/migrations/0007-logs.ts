import type { Migration } from "../migrate.js";

/** What workers print. */
export const logs: Migration = {
	name: "logs",
	statements: [
		// rank is -1 where it is not known. level and stream are the numbers of the protos' enums, as levels are compared.
		`CREATE TABLE trial_logs (
			id INTEGER PRIMARY KEY AUTOINCREMENT,
			trial_id INTEGER NOT NULL REFERENCES trials (id) ON DELETE CASCADE,
			trial_run_id INTEGER NOT NULL,
			rank INTEGER NOT NULL,
			level INTEGER NOT NULL,
			stream INTEGER NOT NULL,
			source TEXT NOT NULL,
			host TEXT NOT NULL,
			time INTEGER NOT NULL,
			text TEXT NOT NULL
		) STRICT`,
		// Every index ends with the row's id, by which the lines of a trial are read.
		"CREATE INDEX trial_logs_in_order ON trial_logs (trial_id)",
		// Who sends lines. done is 1 for one that has said that it has no more.
		`CREATE TABLE log_senders (
			client_id TEXT PRIMARY KEY,
			trial_id INTEGER NOT NULL REFERENCES trials (id) ON DELETE CASCADE,
			sequence INTEGER NOT NULL,
			done INTEGER NOT NULL,
			time INTEGER NOT NULL
		) STRICT, WITHOUT ROWID`,
		"CREATE INDEX log_senders_by_trial ON log_senders (trial_id, done)",
		"CREATE INDEX log_senders_by_time ON log_senders (time)",
	],
};
