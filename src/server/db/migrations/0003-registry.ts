import type { Migration } from "../migrate.js";

/** What models and their versions are found and sorted by. */
export const registry: Migration = {
	name: "registry",
	statements: [
		"ALTER TABLE models ADD COLUMN notes TEXT NOT NULL DEFAULT ''",
		"ALTER TABLE models ADD COLUMN version_count INTEGER NOT NULL DEFAULT 0",
		"UPDATE models SET version_count = (SELECT count(*) FROM model_versions WHERE model_id = models.id)",
		`CREATE TRIGGER model_versions_added AFTER INSERT ON model_versions BEGIN
			UPDATE models SET version_count = version_count + 1 WHERE id = NEW.model_id;
		END`,
		`CREATE TRIGGER model_versions_removed AFTER DELETE ON model_versions BEGIN
			UPDATE models SET version_count = version_count - 1 WHERE id = OLD.model_id;
		END`,
		// For each key that models are sorted by; names have theirs, as they are unique.
		"CREATE INDEX models_by_description ON models (description)",
		"CREATE INDEX models_by_create_time ON models (create_time)",
		"CREATE INDEX models_by_update_time ON models (update_time)",
		"CREATE INDEX models_by_version_count ON models (version_count)",
		// The labels of all models, so that nobody has to read all models for them. The count is negative, as what most
		// models have comes first, and equals in the order of their letters.
		`CREATE TABLE model_labels (
			label TEXT PRIMARY KEY,
			negative_count INTEGER NOT NULL
		) STRICT, WITHOUT ROWID`,
		"CREATE INDEX model_labels_in_order ON model_labels (negative_count)",
		`INSERT INTO model_labels (label, negative_count)
			SELECT value, -count(*) FROM models, json_each(models.labels) GROUP BY value`,
		`CREATE TRIGGER model_labels_of_new AFTER INSERT ON models BEGIN
			INSERT INTO model_labels (label, negative_count) SELECT value, -1 FROM json_each(NEW.labels) WHERE true
				ON CONFLICT DO UPDATE SET negative_count = negative_count - 1;
		END`,
		`CREATE TRIGGER model_labels_of_changed AFTER UPDATE OF labels ON models BEGIN
			UPDATE model_labels SET negative_count = negative_count + 1
				WHERE label IN (SELECT value FROM json_each(OLD.labels));
			INSERT INTO model_labels (label, negative_count) SELECT value, -1 FROM json_each(NEW.labels) WHERE true
				ON CONFLICT DO UPDATE SET negative_count = negative_count - 1;
			DELETE FROM model_labels WHERE negative_count = 0;
		END`,
		`CREATE TRIGGER model_labels_of_removed AFTER DELETE ON models BEGIN
			UPDATE model_labels SET negative_count = negative_count + 1
				WHERE label IN (SELECT value FROM json_each(OLD.labels));
			DELETE FROM model_labels WHERE negative_count = 0;
		END`,
	],
};
