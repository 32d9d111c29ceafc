import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { Database } from "../../../src/server/db/database.js";
import { keyset, type Sort } from "../../../src/server/db/sorted-page.js";
import { parseSortedPage } from "../../../src/server/page-token.js";
import { tempDir } from "../../support/temp-dir.js";

interface Row {
	readonly id: number;
	readonly title: string;
	readonly size: number;
}

const rows: readonly (readonly [title: string, size: number])[] = [
	["b", 2],
	["", -3],
	["a", 2.5],
	["é", 2],
	["a", 0],
];

describe("keyset", () => {
	let db: Database;
	before(async () => {
		db = await Database.open(tempDir());
		await db.write(async (tx) => {
			await tx.run("CREATE TABLE things (id INTEGER PRIMARY KEY, title TEXT NOT NULL, size REAL NOT NULL) STRICT");
			await tx.run("CREATE INDEX things_by_title ON things (title)");
			await tx.run("CREATE INDEX things_by_size ON things (size)");
			for (const [title, size] of rows) {
				await tx.run("INSERT INTO things (title, size) VALUES (?, ?)", title, size);
			}
		});
		return () => db.close();
	});

	async function idsOf(sort: Sort, pageSize: number): Promise<number[]> {
		const ids: number[] = [];
		let pageToken = "";
		do {
			const page = parseSortedPage({ $typeName: "things", pageSize, pageToken }, sort);
			const { where, parameters, orderBy, limit } = keyset(page);
			const sql = `SELECT * FROM things WHERE ${where} ORDER BY ${orderBy} LIMIT ${limit}`;
			const plan = await db.all<{ detail: string }>(`EXPLAIN QUERY PLAN ${sql}`, ...parameters);
			assert.match(plan.map(({ detail }) => detail).join("; "), /^SEARCH things USING [^;]*$/);
			const found = page.take(await db.all<Row>(sql, ...parameters), (row) => [row[sort.key as keyof Row], row.id]);
			assert.ok(found.rows.length <= pageSize);
			ids.push(...found.rows.map(({ id }) => id));
			pageToken = found.nextPageToken;
		} while (pageToken !== "");
		return ids;
	}

	const orders = {
		id: ["number", [1, 2, 3, 4, 5]],
		title: ["text", [2, 3, 5, 1, 4]],
		size: ["number", [2, 5, 1, 4, 3]],
	} as const;
	for (const [key, [kind, ids]] of Object.entries(orders)) {
		for (const pageSize of [1, 2, 5]) {
			it(`reads all rows by ${key}, equals by id, in both directions, ${pageSize} a page, by an index`, async () => {
				assert.deepEqual(await idsOf({ key, kind, descending: false }, pageSize), ids);
				assert.deepEqual(await idsOf({ key, kind, descending: true }, pageSize), ids.toReversed());
			});
		}
	}
});
