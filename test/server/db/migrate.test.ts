import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { isMillraceError } from "../../../src/errors.js";
import { Database } from "../../../src/server/db/database.js";
import { migrate, migrations } from "../../../src/server/db/migrate.js";
import { tempDir } from "../../support/temp-dir.js";

async function openDatabase(): Promise<Database> {
	let db: Database | undefined;
	after(() => db?.close());
	db = await Database.open(tempDir());
	return db;
}

const one = { name: "one", statements: ["CREATE TABLE one (n INTEGER) STRICT"] };
const two = { name: "two", statements: ["CREATE TABLE two (n INTEGER) STRICT", "INSERT INTO two VALUES (2)"] };

describe("migrate", { timeout: 30_000 }, () => {
	it("makes every table strict, and is done when it is called again", async () => {
		const db = await openDatabase();
		await migrate(db);
		await migrate(db);
		const loose = await db.all(
			"SELECT name FROM pragma_table_list WHERE schema = 'main' AND strict = 0 AND name NOT LIKE 'sqlite%'",
		);
		assert.deepEqual(loose, []);
		assert.deepEqual(
			(await db.all<{ name: string }>("SELECT name FROM migrations ORDER BY number")).map((row) => row.name),
			migrations.map((migration) => migration.name),
		);
	});

	it("runs only what is new", async () => {
		const db = await openDatabase();
		await migrate(db, [one]);
		await migrate(db, [one, two]);
		assert.deepEqual(await db.all("SELECT n FROM two"), [{ n: 2 }]);
	});

	it("leaves nothing of a migration that fails", async () => {
		const db = await openDatabase();
		const broken = {
			name: "broken",
			statements: ["CREATE TABLE half (n INTEGER) STRICT", "CREATE TABLE half (n INTEGER) STRICT"],
		};
		await assert.rejects(migrate(db, [one, broken]));
		assert.deepEqual(await db.all("SELECT name FROM sqlite_schema WHERE name = 'half'"), []);
		assert.deepEqual(await db.all("SELECT max(number) AS version FROM migrations"), [{ version: 1 }]);
	});

	it("refuses a database that is newer than the program, naming both versions", async () => {
		const db = await openDatabase();
		await migrate(db, [one, two]);
		await assert.rejects(migrate(db, [one]), (error: Error) => {
			assert.ok(isMillraceError(error, "failed_precondition"));
			assert.match(error.message, /version 2.*versions up to 1/);
			return true;
		});
	});
});
