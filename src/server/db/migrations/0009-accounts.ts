import type { Migration } from "../migrate.js";

/** Who may use the server, by which tokens, and what they have asked for. */
export const accounts: Migration = {
	name: "accounts",
	statements: [
		// password is NULL for a user without one.
		`CREATE TABLE users (
			id INTEGER PRIMARY KEY AUTOINCREMENT,
			username TEXT NOT NULL UNIQUE,
			display_name TEXT NOT NULL,
			admin INTEGER NOT NULL,
			active INTEGER NOT NULL,
			remote INTEGER NOT NULL,
			password TEXT,
			create_time INTEGER NOT NULL,
			update_time INTEGER NOT NULL
		) STRICT`,
		// There are accounts as soon as this index has a row.
		"CREATE INDEX users_who_log_in ON users (admin) WHERE password IS NOT NULL AND active",
		// The user of a server without accounts, whose name is on everything that was made before there were any.
		`INSERT INTO users (id, username, display_name, admin, active, remote, create_time, update_time)
		VALUES (1, 'determined', '', 1, 1, 0, unixepoch() * 1000, unixepoch() * 1000)`,
		// Of a secret only the digest is here. trial_id is NULL for a user's token, trial_run_id 0 for workers of any run.
		`CREATE TABLE tokens (
			id INTEGER PRIMARY KEY AUTOINCREMENT,
			digest BLOB NOT NULL UNIQUE,
			user_id INTEGER NOT NULL REFERENCES users (id),
			description TEXT NOT NULL,
			trial_id INTEGER REFERENCES trials (id) ON DELETE CASCADE,
			trial_run_id INTEGER NOT NULL,
			create_time INTEGER NOT NULL,
			expire_time INTEGER,
			revoke_time INTEGER
		) STRICT`,
		"CREATE INDEX tokens_by_user ON tokens (user_id)",
		"CREATE INDEX tokens_by_end ON tokens (expire_time)",
		"CREATE INDEX tokens_by_trial ON tokens (trial_id) WHERE trial_id IS NOT NULL",
		// No reference to the token, which may be forgotten before the line is.
		`CREATE TABLE audit_log (
			id INTEGER PRIMARY KEY,
			time INTEGER NOT NULL,
			username TEXT NOT NULL,
			token_id INTEGER NOT NULL,
			method TEXT NOT NULL,
			subject TEXT NOT NULL,
			peer TEXT NOT NULL,
			outcome TEXT NOT NULL
		) STRICT`,
		"CREATE INDEX audit_log_by_user ON audit_log (username)",
		"CREATE INDEX audit_log_by_time ON audit_log (time)",
	],
};
