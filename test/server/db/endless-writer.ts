import { writeSync } from "node:fs";
import { Database } from "../../../src/server/db/database.js";

// Writes pairs of numbers until it is killed, and prints each number once its write is acknowledged.
const db = await Database.open(process.argv[2] as string);
await db.write(async (tx) => {
	await tx.run("CREATE TABLE numbers (n INTEGER PRIMARY KEY) STRICT");
});
let next = 0;
async function write(): Promise<void> {
	for (;;) {
		const n = ++next;
		await db.write(async (tx) => {
			await tx.run("INSERT INTO numbers VALUES (?)", n);
			await tx.run("INSERT INTO numbers VALUES (?)", -n);
		});
		writeSync(1, `${n}\n`);
	}
}
await Promise.all(Array.from({ length: 40 }, write));
