import { MillraceError } from "../../errors.js";
import type { Database } from "./database.js";
import { firstTables } from "./migrations/0001-first-tables.js";
import { survival } from "./migrations/0002-survival.js";
import { registry } from "./migrations/0003-registry.js";
import { checkpointFiles } from "./migrations/0004-checkpoint-files.js";
import { experimentLists } from "./migrations/0005-experiment-lists.js";
import { metricSources } from "./migrations/0006-metric-sources.js";
import { logs } from "./migrations/0007-logs.js";
import { commitSums } from "./migrations/0008-commit-sums.js";
import { accounts } from "./migrations/0009-accounts.js";
import { senders } from "./migrations/0010-senders.js";
import { logins } from "./migrations/0011-logins.js";

/** A change of the tables. Its number is its place in the list, from 1. */
export interface Migration {
	/** What it does, in a few words with hyphens. */
	readonly name: string;
	/** The statements. */
	readonly statements: readonly string[];
}

/** All migrations, in their order. What was released is never edited: a later migration changes it. */
export const migrations: readonly Migration[] = [
	firstTables,
	survival,
	registry,
	checkpointFiles,
	experimentLists,
	metricSources,
	logs,
	commitSums,
	accounts,
	senders,
	logins,
];

/**
 * Brings the tables of a database to what this program knows, each migration in a transaction.
 *
 * Throws `failed_precondition` if the database is newer than the program.
 */
export async function migrate(db: Database, known: readonly Migration[] = migrations): Promise<void> {
	await db.write(async (tx) => {
		await tx.run(
			"CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL, time INTEGER NOT NULL) STRICT",
		);
	});
	const row = await db.get<{ version: number | null }>("SELECT max(number) AS version FROM migrations");
	const version = row?.version ?? 0;
	if (version > known.length) {
		throw new MillraceError(
			"failed_precondition",
			`the database has version ${version}, but this program knows versions up to ${known.length}; use a newer millrace`,
		);
	}
	for (const [i, migration] of known.entries()) {
		if (i >= version) {
			await db.write(async (tx) => {
				for (const statement of migration.statements) {
					await tx.run(statement);
				}
				await tx.run("INSERT INTO migrations (number, name, time) VALUES (?, ?, ?)", i + 1, migration.name, tx.now);
			});
		}
	}
}
