import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type AuditEntry, AuditEntrySchema } from "../../gen/millrace/v1/auth_pb.js";
import type { Reader, Transaction } from "./database.js";
import { keyset, type Sort, type SortedPlace } from "./sorted-page.js";

/** A row of the table audit_log. */
export interface AuditRow {
	readonly id: number;
	readonly time: number;
	readonly username: string;
	readonly token_id: number;
	readonly method: string;
	readonly subject: string;
	readonly peer: string;
	readonly outcome: string;
}

/** A line to be added. Its outcome is "" where it is not known yet. */
export type NewAuditEntry = Omit<AuditRow, "id" | "time">;

/** The audit log as it is listed: the newest line first. */
export const byNewestLine: Sort = { key: "id", kind: "number", descending: true };

/** Adds a line, and returns its id. */
export async function addAuditEntry(tx: Transaction, entry: NewAuditEntry): Promise<number> {
	const row = await tx.get<{ id: number }>(
		`INSERT INTO audit_log (time, username, token_id, method, subject, peer, outcome)
		VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id`,
		tx.now,
		entry.username,
		entry.token_id,
		entry.method,
		entry.subject,
		entry.peer,
		entry.outcome,
	);
	return row?.id ?? 0;
}

/** Notes how what a line tells of has ended. */
export async function setAuditOutcome(tx: Transaction, id: number, outcome: string): Promise<void> {
	await tx.run("UPDATE audit_log SET outcome = ? WHERE id = ?", outcome, id);
}

/** Forgets lines older than a time, in milliseconds since 1970. */
export async function forgetAuditEntries(tx: Transaction, before: number): Promise<void> {
	await tx.run("DELETE FROM audit_log WHERE time < ?", before);
}

/** Returns the lines of a page and the first one after it. `username` is "" for those of all. */
export function listAuditEntries(db: Reader, username: string, place: SortedPlace): Promise<AuditRow[]> {
	const { where, parameters, orderBy, limit } = keyset(place);
	const ofUser = username === "" ? "" : "AND username = ?";
	return db.all<AuditRow>(
		`SELECT * FROM audit_log WHERE ${where} ${ofUser} ORDER BY ${orderBy} LIMIT ?`,
		...parameters,
		...(username === "" ? [] : [username]),
		limit,
	);
}

/** Makes a line of its row. */
export function toAuditEntry(row: AuditRow): AuditEntry {
	return create(AuditEntrySchema, {
		id: BigInt(row.id),
		time: timestampFromMs(row.time),
		username: row.username,
		tokenId: row.token_id,
		method: row.method,
		subjectJson: row.subject,
		peer: row.peer,
		outcome: row.outcome,
	});
}
