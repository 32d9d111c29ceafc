import type { Migration } from "../migrate.js";

/**
 * Tells the senders of reports and lines apart by their callers too. A sender of before has '' for its caller, as it is not
 * known: whoever has its client id goes on with it.
 */
export const senders: Migration = {
	name: "senders",
	statements: [
		"ALTER TABLE report_clients RENAME TO report_clients_before",
		`CREATE TABLE report_clients (
			client_id TEXT NOT NULL,
			caller TEXT NOT NULL,
			sequence INTEGER NOT NULL,
			response BLOB NOT NULL,
			time INTEGER NOT NULL,
			PRIMARY KEY (client_id, caller)
		) STRICT, WITHOUT ROWID`,
		`INSERT INTO report_clients (client_id, caller, sequence, response, time)
		SELECT client_id, '', sequence, response, time FROM report_clients_before`,
		"DROP TABLE report_clients_before",
		"ALTER TABLE log_senders RENAME TO log_senders_before",
		`CREATE TABLE log_senders (
			client_id TEXT NOT NULL,
			caller TEXT NOT NULL,
			trial_id INTEGER NOT NULL REFERENCES trials (id) ON DELETE CASCADE,
			sequence INTEGER NOT NULL,
			done INTEGER NOT NULL,
			time INTEGER NOT NULL,
			PRIMARY KEY (client_id, caller)
		) STRICT, WITHOUT ROWID`,
		`INSERT INTO log_senders (client_id, caller, trial_id, sequence, done, time)
		SELECT client_id, '', trial_id, sequence, done, time FROM log_senders_before`,
		// With its indexes, whose names the next ones have.
		"DROP TABLE log_senders_before",
		"CREATE INDEX log_senders_by_trial ON log_senders (trial_id, done)",
		"CREATE INDEX log_senders_by_time ON log_senders (time)",
	],
};
