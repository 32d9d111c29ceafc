import type { Migration } from "../migrate.js";

/** Who wrote a checkpoint, and which of its files are still to be removed. */
export const checkpointFiles: Migration = {
	name: "checkpoint-files",
	statements: [
		// 0 where no trial wrote it.
		"ALTER TABLE checkpoints ADD COLUMN trial_run_id INTEGER NOT NULL DEFAULT 0",
		// The digest of the files that are to be written, where another who has the same ones may go on with it.
		"ALTER TABLE checkpoints ADD COLUMN planned_digest TEXT",
		"CREATE INDEX checkpoints_to_go_on ON checkpoints (planned_digest) WHERE state = 'ACTIVE'",
		// What its completion added to the metadata, to know that request again.
		"ALTER TABLE checkpoints ADD COLUMN completed_metadata TEXT NOT NULL DEFAULT '{}'",
		`ALTER TABLE checkpoints ADD COLUMN steps_completed INTEGER GENERATED ALWAYS AS (
			CASE WHEN json_type(metadata, '$.steps_completed') = 'integer'
				AND metadata ->> '$.steps_completed' BETWEEN -2147483648 AND 2147483647
			THEN metadata ->> '$.steps_completed' END
		) VIRTUAL`,
		"CREATE INDEX checkpoints_by_time ON checkpoints (report_time)",
		"CREATE INDEX checkpoints_by_trial ON checkpoints (trial_id, report_time)",
		"CREATE INDEX checkpoints_in_writing ON checkpoints (report_time) WHERE state = 'ACTIVE'",
		// A file that came over the wire, or is coming: complete is 1 once it is verified and has its name.
		`CREATE TABLE checkpoint_uploads (
			checkpoint_id INTEGER NOT NULL REFERENCES checkpoints (id),
			path TEXT NOT NULL,
			size_bytes INTEGER NOT NULL,
			sha256 TEXT NOT NULL,
			complete INTEGER NOT NULL,
			PRIMARY KEY (checkpoint_id, path)
		) STRICT, WITHOUT ROWID`,
		// What no list names any more and the storage still has. The path '' is the checkpoint's whole directory.
		`CREATE TABLE checkpoint_removals (
			checkpoint_id INTEGER NOT NULL REFERENCES checkpoints (id),
			path TEXT NOT NULL,
			PRIMARY KEY (checkpoint_id, path)
		) STRICT, WITHOUT ROWID`,
	],
};
