import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { isMillraceError, MillraceError } from "../../../src/errors.js";
import { assertLocal, Database, type Transaction } from "../../../src/server/db/database.js";
import { nodeWithTsx } from "../../support/node-with-tsx.js";
import { tempDir } from "../../support/temp-dir.js";

async function openDatabase(directory?: string): Promise<Database> {
	let db: Database | undefined;
	after(() => db?.close());
	db = await Database.open(directory ?? tempDir());
	await db.write(async (tx) => {
		await tx.run("CREATE TABLE IF NOT EXISTS numbers (n INTEGER PRIMARY KEY) STRICT");
	});
	return db;
}

const insert = (n: number) => async (tx: Transaction) => {
	await tx.run("INSERT INTO numbers VALUES (?)", n);
	return tx;
};

const numbers = async (db: Database) =>
	(await db.all<{ n: number }>("SELECT n FROM numbers ORDER BY n")).map((row) => row.n);

describe("Database", { timeout: 60_000 }, () => {
	it("commits jobs that arrive together in one transaction", async () => {
		const db = await openDatabase();
		const transactions = await Promise.all([1, 2, 3, 4, 5].map((n) => db.write(insert(n))));
		assert.equal(new Set(transactions).size, 1);
		assert.deepEqual(await numbers(db), [1, 2, 3, 4, 5]);
	});

	it("gathers the jobs that arrive while a transaction runs in the next one", async () => {
		const db = await openDatabase();
		let late: Promise<Transaction>[] = [];
		const first = await db.write(async (tx) => {
			late = [7, 8, 9].map((n) => db.write(insert(n)));
			return tx;
		});
		const transactions = await Promise.all(late);
		assert.equal(new Set([first, ...transactions]).size, 2);
		assert.deepEqual(await numbers(db), [7, 8, 9]);
	});

	it("lets a job that throws harm only itself", async () => {
		const db = await openDatabase();
		const outcomes = await Promise.allSettled([
			db.write(insert(1)),
			db.write(async (tx) => {
				await tx.run("INSERT INTO numbers VALUES (2)");
				throw new MillraceError("failed_precondition", "two is refused");
			}),
			db.write(insert(1)),
			db.write(insert(3)),
		]);
		assert.deepEqual(
			outcomes.map(({ status }) => status),
			["fulfilled", "rejected", "rejected", "fulfilled"],
		);
		assert.ok(outcomes[1]?.status === "rejected" && isMillraceError(outcomes[1].reason, "failed_precondition"));
		assert.deepEqual(await numbers(db), [1, 3]);
	});

	it("runs each job alone where the common transaction itself cannot be committed", async () => {
		const db = await openDatabase();
		await db.write(async (tx) => {
			await tx.run("CREATE TABLE children (n INTEGER REFERENCES numbers (n) DEFERRABLE INITIALLY DEFERRED) STRICT");
		});
		const orphan = db.write(async (tx) => {
			await tx.run("INSERT INTO children VALUES (77)");
		});
		const outcomes = await Promise.allSettled([db.write(insert(1)), orphan, db.write(insert(2))]);
		assert.deepEqual(
			outcomes.map(({ status }) => status),
			["fulfilled", "rejected", "fulfilled"],
		);
		assert.deepEqual(await numbers(db), [1, 2]);
		assert.deepEqual(await db.all("SELECT n FROM children"), []);
	});

	it("prepares a statement anew that could not be prepared", async () => {
		const db = await openDatabase();
		const sql = "SELECT n FROM late";
		// Often enough that each connection has seen it.
		for (let i = 0; i < 20; i++) {
			await assert.rejects(db.all(sql), /no such table/);
		}
		await db.write((tx) => tx.run("CREATE TABLE late (n INTEGER) STRICT"));
		for (let i = 0; i < 20; i++) {
			assert.deepEqual(await db.all(sql), []);
		}
	});

	it("refuses a transaction that is used after its end", async () => {
		const db = await openDatabase();
		const tx = await db.write(insert(1));
		await assert.rejects(tx.run("INSERT INTO numbers VALUES (2)"), /after its end/);
	});

	it("keeps integers above 2^31 and reads back what was just written", async () => {
		const db = await openDatabase();
		await db.write(insert(2 ** 52 + 1));
		assert.deepEqual(await numbers(db), [2 ** 52 + 1]);
	});

	it("finishes the writes that were begun before it closes, and refuses later ones", async () => {
		const directory = tempDir();
		const db = await Database.open(directory);
		await db.write(async (tx) => {
			await tx.run("CREATE TABLE numbers (n INTEGER PRIMARY KEY) STRICT");
		});
		const writes = [1, 2, 3].map((n) => db.write(insert(n)));
		await db.close();
		await Promise.all(writes);
		await assert.rejects(db.write(insert(4)), (error) => isMillraceError(error, "unavailable"));
		assert.deepEqual(await numbers(await openDatabase(directory)), [1, 2, 3]);
	});

	it("turns a full disk into unavailable and can be written again", async () => {
		const db = await openDatabase();
		await db.write(async (tx) => {
			await tx.run("CREATE TABLE texts (t TEXT) STRICT");
		});
		await db.write(async (tx) => {
			const row = await tx.get<{ page_count: number }>("PRAGMA page_count");
			await tx.all(`PRAGMA max_page_count = ${row?.page_count}`);
		});
		const full = db.write(async (tx) => {
			await tx.run("INSERT INTO texts VALUES (?)", "x".repeat(1_000_000));
		});
		await assert.rejects(full, (error) => isMillraceError(error, "unavailable"));
		await db.write(insert(1));
		assert.deepEqual(await numbers(db), [1]);
	});

	it("has every write that it acknowledged after its process was killed", async () => {
		const directory = tempDir();
		const writer = spawn(nodeWithTsx[0], [
			...nodeWithTsx.slice(1),
			fileURLToPath(new URL("./endless-writer.ts", import.meta.url)),
			directory,
		]);
		after(() => writer.kill("SIGKILL"));
		const acknowledged: number[] = [];
		const lines = createInterface({ input: writer.stdout });
		lines.on("line", (line) => {
			acknowledged.push(Number(line));
			if (acknowledged.length === 2_000) {
				writer.kill("SIGKILL");
			}
		});
		await once(lines, "close");
		assert.ok(acknowledged.length >= 2_000);
		const db = await openDatabase(directory);
		const found = new Set(await numbers(db));
		assert.deepEqual(
			acknowledged.filter((n) => !found.has(n)),
			[],
		);
		assert.deepEqual(await db.all("PRAGMA integrity_check"), [{ integrity_check: "ok" }]);
		// The writer writes n and -n in one transaction.
		assert.ok([...found].every((n) => found.has(-n)));
	});
});

describe("assertLocal", () => {
	it("refuses network file systems by name", () => {
		for (const [type, name] of [
			[0x6969, /NFS/],
			[0x517b, /SMB/],
			[0xfe534d42, /SMB/],
			[0xff534d42 | 0, /CIFS/],
		] as const) {
			assert.throws(() => assertLocal("/data", type), name);
		}
	});

	it("accepts ext4, tmpfs and FUSE", () => {
		for (const type of [0xef53, 0x01021994, 0x65735546]) {
			assert.doesNotThrow(() => assertLocal("/data", type));
		}
	});
});
