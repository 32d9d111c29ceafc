import { join } from "node:path";
import { Connection } from "../../src/server/db/database.js";

/** All rows of all tables of a data directory's database, by table. Blobs are in hexadecimal. */
export type Tables = Record<string, unknown[]>;

/** Reads everything that a server remembers, also while it serves. */
export async function readTables(dataDirectory: string): Promise<Tables> {
	const connection = await Connection.open(join(dataDirectory, "millrace.db"));
	try {
		const names = await connection.all<{ name: string }>(
			"SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name",
		);
		const tables: Tables = {};
		for (const { name } of names) {
			const rows = await connection.all<Record<string, unknown>>(`SELECT * FROM ${name}`);
			tables[name] = rows.map((row) =>
				Object.fromEntries(
					Object.entries(row).map(([column, value]) => [
						column,
						Buffer.isBuffer(value) ? value.toString("hex") : value,
					]),
				),
			);
		}
		return tables;
	} finally {
		await connection.close();
	}
}
