import type { Reader, Transaction } from "./database.js";

/** Takes numbers that no report has had as its id or its revision, each higher than all before, and returns the first. */
export async function takeNumbers(tx: Transaction, count: number): Promise<number> {
	const row = await tx.get<{ last: number }>(
		"UPDATE metric_clock SET last = last + ? WHERE id = 1 RETURNING last",
		count,
	);
	return (row?.last ?? 0) - count + 1;
}

/** Returns the highest number that was taken: that of the last change of any report. */
export async function lastNumber(db: Reader): Promise<number> {
	const row = await db.get<{ last: number }>("SELECT last FROM metric_clock WHERE id = 1");
	return row?.last ?? 0;
}
