import type { Migration } from "../migrate.js";

/**
 * Times are milliseconds since 1970; states are the names of the protos' enums; objects and lists are JSON
 * text. AUTOINCREMENT keeps an id from being given twice, also after a deletion.
 */
export const firstTables: Migration = {
	name: "first-tables",
	statements: [
		`CREATE TABLE meta (
			id INTEGER PRIMARY KEY CHECK (id = 1),
			cluster_id TEXT NOT NULL
		) STRICT`,
		`CREATE TABLE experiments (
			id INTEGER PRIMARY KEY AUTOINCREMENT,
			name TEXT NOT NULL,
			description TEXT NOT NULL,
			labels TEXT NOT NULL,
			config TEXT NOT NULL,
			storage TEXT NOT NULL,
			create_time INTEGER NOT NULL
		) STRICT`,
		// The plan's columns are NULL until the first run records it.
		`CREATE TABLE trials (
			id INTEGER PRIMARY KEY AUTOINCREMENT,
			experiment_id INTEGER NOT NULL REFERENCES experiments (id),
			hparams TEXT NOT NULL,
			state TEXT NOT NULL DEFAULT 'ACTIVE',
			restarts INTEGER NOT NULL DEFAULT 0,
			max_restarts INTEGER NOT NULL,
			trial_run_id INTEGER NOT NULL DEFAULT 0,
			pause_requested INTEGER NOT NULL DEFAULT 0,
			storage TEXT NOT NULL,
			output_uuid TEXT NOT NULL,
			record_count INTEGER,
			data_version TEXT,
			max_batches INTEGER,
			goal_end INTEGER,
			records_done INTEGER NOT NULL DEFAULT 0,
			max_step INTEGER NOT NULL DEFAULT 0,
			summary TEXT NOT NULL DEFAULT '{}',
			create_time INTEGER NOT NULL,
			end_time INTEGER
		) STRICT`,
		"CREATE INDEX trials_by_experiment ON trials (experiment_id, id)",
		// options are those of the first worker that told its own, whose rank is options_rank.
		`CREATE TABLE trial_runs (
			trial_id INTEGER NOT NULL REFERENCES trials (id),
			trial_run_id INTEGER NOT NULL,
			world_size INTEGER NOT NULL,
			state TEXT NOT NULL,
			reason TEXT NOT NULL DEFAULT '',
			owner_host TEXT NOT NULL DEFAULT '',
			base_step INTEGER NOT NULL,
			joined_count INTEGER NOT NULL DEFAULT 0,
			options TEXT,
			options_rank INTEGER,
			start_time INTEGER NOT NULL,
			end_time INTEGER,
			PRIMARY KEY (trial_id, trial_run_id)
		) STRICT, WITHOUT ROWID`,
		// A member with a gone_time is fenced: its writes are refused.
		`CREATE TABLE members (
			trial_id INTEGER NOT NULL,
			trial_run_id INTEGER NOT NULL,
			rank INTEGER NOT NULL,
			member_uuid TEXT NOT NULL,
			host TEXT NOT NULL,
			pid INTEGER NOT NULL,
			local_rank INTEGER NOT NULL,
			local_world_size INTEGER NOT NULL,
			node_rank INTEGER NOT NULL,
			join_time INTEGER NOT NULL,
			gone_time INTEGER,
			PRIMARY KEY (trial_id, trial_run_id, rank, member_uuid),
			FOREIGN KEY (trial_id, trial_run_id) REFERENCES trial_runs (trial_id, trial_run_id)
		) STRICT, WITHOUT ROWID`,
		// Records first_record to end_record - 1. Ranges never overlap; those of one run may be joined into
		// larger ones when a later run starts.
		`CREATE TABLE done_ranges (
			trial_id INTEGER NOT NULL REFERENCES trials (id),
			first_record INTEGER NOT NULL,
			end_record INTEGER NOT NULL CHECK (end_record > first_record),
			trial_run_id INTEGER NOT NULL,
			PRIMARY KEY (trial_id, first_record)
		) STRICT, WITHOUT ROWID`,
		// A finish commit counts once its run is COMPLETED.
		`CREATE TABLE commits (
			trial_id INTEGER NOT NULL,
			trial_run_id INTEGER NOT NULL,
			rank INTEGER NOT NULL,
			member_uuid TEXT NOT NULL,
			commit_number INTEGER NOT NULL,
			part INTEGER NOT NULL,
			step INTEGER NOT NULL,
			finish INTEGER NOT NULL,
			record_count INTEGER NOT NULL,
			response BLOB NOT NULL,
			time INTEGER NOT NULL,
			PRIMARY KEY (trial_id, trial_run_id, rank, commit_number, member_uuid),
			FOREIGN KEY (trial_id, trial_run_id) REFERENCES trial_runs (trial_id, trial_run_id)
		) STRICT, WITHOUT ROWID`,
		// What a finish commit says of a file stands beside what earlier commits said: where the run ends
		// before it is COMPLETED, only the latter counts.
		`CREATE TABLE output_files (
			trial_id INTEGER NOT NULL REFERENCES trials (id),
			path TEXT NOT NULL,
			finish INTEGER NOT NULL,
			trial_run_id INTEGER NOT NULL,
			rank INTEGER NOT NULL,
			part INTEGER NOT NULL,
			size_bytes INTEGER NOT NULL,
			sha256 TEXT NOT NULL,
			PRIMARY KEY (trial_id, path, finish)
		) STRICT, WITHOUT ROWID`,
		// first_record is -1 for the value of a MetricReducer, of which a part has one.
		`CREATE TABLE reducer_partials (
			trial_id INTEGER NOT NULL REFERENCES trials (id),
			reducer TEXT NOT NULL,
			first_record INTEGER NOT NULL,
			trial_run_id INTEGER NOT NULL,
			rank INTEGER NOT NULL,
			part INTEGER NOT NULL,
			value TEXT NOT NULL,
			PRIMARY KEY (trial_id, reducer, first_record, trial_run_id, rank, part)
		) STRICT, WITHOUT ROWID`,
		// rank and part are -1, and commit_number 0, where there is none. origin: 0 a plain report, 1 batch
		// processing, confirmed by the commit of that number, 2 the end of a run. step orders what has no
		// steps_completed before all else.
		`CREATE TABLE metric_reports (
			id INTEGER PRIMARY KEY AUTOINCREMENT,
			trial_id INTEGER NOT NULL REFERENCES trials (id),
			trial_run_id INTEGER NOT NULL,
			rank INTEGER NOT NULL,
			part INTEGER NOT NULL,
			commit_number INTEGER NOT NULL,
			origin INTEGER NOT NULL,
			group_name TEXT NOT NULL,
			steps_completed INTEGER,
			step INTEGER NOT NULL GENERATED ALWAYS AS (ifnull(steps_completed, -1)) VIRTUAL,
			end_time INTEGER NOT NULL,
			metrics TEXT NOT NULL,
			batch_metrics TEXT NOT NULL,
			archived INTEGER NOT NULL DEFAULT 0
		) STRICT`,
		`CREATE UNIQUE INDEX metric_reports_by_key ON metric_reports
			(trial_id, group_name, steps_completed, trial_run_id, rank, part, commit_number, origin) WHERE archived = 0`,
		// Every index ends with the row's id. Named in the list, it would be no part of a search by (run, step, id).
		"CREATE INDEX metric_reports_in_order ON metric_reports (trial_id, trial_run_id, step) WHERE archived = 0",
		`CREATE TABLE checkpoints (
			id INTEGER PRIMARY KEY AUTOINCREMENT,
			uuid TEXT NOT NULL UNIQUE,
			trial_id INTEGER REFERENCES trials (id),
			state TEXT NOT NULL,
			metadata TEXT NOT NULL,
			storage TEXT NOT NULL,
			content_digest TEXT,
			report_time INTEGER NOT NULL
		) STRICT`,
		"CREATE INDEX checkpoints_by_content ON checkpoints (content_digest, id) WHERE state = 'COMPLETED'",
		`CREATE TABLE checkpoint_files (
			checkpoint_id INTEGER NOT NULL REFERENCES checkpoints (id),
			path TEXT NOT NULL,
			size_bytes INTEGER NOT NULL,
			sha256 TEXT NOT NULL,
			PRIMARY KEY (checkpoint_id, path)
		) STRICT, WITHOUT ROWID`,
		// next_version only grows, so that a version's number is never used twice.
		`CREATE TABLE models (
			id INTEGER PRIMARY KEY AUTOINCREMENT,
			name TEXT NOT NULL UNIQUE,
			description TEXT NOT NULL,
			metadata TEXT NOT NULL,
			labels TEXT NOT NULL,
			username TEXT NOT NULL,
			archived INTEGER NOT NULL DEFAULT 0,
			next_version INTEGER NOT NULL DEFAULT 1,
			create_time INTEGER NOT NULL,
			update_time INTEGER NOT NULL
		) STRICT`,
		`CREATE TABLE model_versions (
			model_id INTEGER NOT NULL REFERENCES models (id),
			version INTEGER NOT NULL,
			checkpoint_id INTEGER NOT NULL REFERENCES checkpoints (id),
			name TEXT NOT NULL,
			comment TEXT NOT NULL,
			notes TEXT NOT NULL,
			metadata TEXT NOT NULL,
			labels TEXT NOT NULL,
			username TEXT NOT NULL,
			create_time INTEGER NOT NULL,
			update_time INTEGER NOT NULL,
			PRIMARY KEY (model_id, version)
		) STRICT, WITHOUT ROWID`,
		"CREATE INDEX model_versions_by_checkpoint ON model_versions (checkpoint_id)",
		// model_id and version are 0 for a link to the checkpoint alone. They refer to nothing by foreign
		// key: a deleted version's number never comes back, and the link to its checkpoint has to stay.
		`CREATE TABLE trial_sources (
			trial_id INTEGER NOT NULL REFERENCES trials (id),
			checkpoint_id INTEGER NOT NULL REFERENCES checkpoints (id),
			model_id INTEGER NOT NULL,
			version INTEGER NOT NULL,
			type TEXT NOT NULL,
			PRIMARY KEY (trial_id, checkpoint_id, model_id, version)
		) STRICT, WITHOUT ROWID`,
		"CREATE INDEX trial_sources_by_checkpoint ON trial_sources (checkpoint_id, trial_id)",
		"CREATE INDEX trial_sources_by_version ON trial_sources (model_id, version, trial_id)",
		`CREATE TABLE request_ids (
			request_id TEXT PRIMARY KEY,
			method TEXT NOT NULL,
			response BLOB NOT NULL,
			time INTEGER NOT NULL
		) STRICT, WITHOUT ROWID`,
		`CREATE TABLE report_clients (
			client_id TEXT PRIMARY KEY,
			sequence INTEGER NOT NULL,
			response BLOB NOT NULL,
			time INTEGER NOT NULL
		) STRICT, WITHOUT ROWID`,
	],
};
