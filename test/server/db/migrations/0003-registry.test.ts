import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { Database } from "../../../../src/server/db/database.js";
import { migrate, migrations } from "../../../../src/server/db/migrate.js";
import { tempDir } from "../../../support/temp-dir.js";

describe("registry", { timeout: 30_000 }, () => {
	it("counts the versions and the labels that were there before", async () => {
		const db = await Database.open(tempDir());
		after(() => db.close());
		await migrate(db, migrations.slice(0, 2));
		await db.write(async (tx) => {
			await tx.run(
				`INSERT INTO models (name, description, metadata, labels, username, next_version, create_time, update_time)
				VALUES ('a', '', '{}', '["x","y,z"]', 'u', 3, 1, 1), ('b', '', '{}', '["x"]', 'u', 1, 2, 2)`,
			);
			await tx.run(
				"INSERT INTO checkpoints (uuid, state, metadata, storage, report_time) VALUES ('c', 'COMPLETED', '{}', '', 1)",
			);
			await tx.run(
				`INSERT INTO model_versions
					(model_id, version, checkpoint_id, name, comment, notes, metadata, labels, username, create_time, update_time)
				VALUES (1, 1, 1, '', '', '', '{}', '[]', 'u', 1, 1), (1, 2, 1, '', '', '', '{}', '[]', 'u', 1, 1)`,
			);
		});
		await migrate(db);
		assert.deepEqual(await db.all("SELECT name, version_count, notes FROM models ORDER BY id"), [
			{ name: "a", version_count: 2, notes: "" },
			{ name: "b", version_count: 0, notes: "" },
		]);
		assert.deepEqual(await db.all("SELECT label, negative_count FROM model_labels ORDER BY label"), [
			{ label: "x", negative_count: -2 },
			{ label: "y,z", negative_count: -1 },
		]);
	});
});
