import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { AuditEntry as AuditEntryMessage } from "../gen/millrace/v1/auth_pb.js";
import { assertKnownOptions } from "./assert-options.js";
import { assertString } from "./assert-string.js";
import { type AsyncList, pagedList } from "./async-list.js";
import { fromJsonText, type JsonObject } from "./json.js";
import type { Session } from "./session.js";

/** One line of the audit log: a write that a user has asked for. */
export interface AuditEntry {
	/** The id; it grows with time. */
	readonly id: number;
	/** When it was asked for. */
	readonly time: Date;
	/** Who asked; the name that was claimed where a login failed. */
	readonly username: string;
	/** The token that was shown; null for a login, or where it is not known. */
	readonly tokenId: number | null;
	/** What was called, such as "millrace.v1.ModelService/DeleteModel". */
	readonly method: string;
	/** What it was about: ids and names, with the names of the protos' fields. */
	readonly subject: JsonObject;
	/** From where, as `host:port`. */
	readonly peer: string;
	/** How it ended: "ok", or the code of the error; null while it has not, or where the server died before it was known. */
	readonly outcome: string | null;
}

/** Options of `client.listAuditLog`. */
export interface ListAuditLogOptions {
	/** Only what this user has asked for. Default: all. */
	readonly username?: string;
}

/** Lists the audit log, as `client.listAuditLog` does. */
export function auditLog(session: Session, options: ListAuditLogOptions): AsyncList<AuditEntry> {
	return pagedList(async (page) => {
		assertKnownOptions(options, "listAuditLog", ["username"]);
		const { username = "" } = options;
		assertString(username, "username");
		const { auth } = await session.connection();
		const { entries, nextPageToken } = await auth.listAuditEntries({ ...page, username });
		return { items: entries.map(toEntry), nextPageToken };
	});
}

function toEntry(message: AuditEntryMessage): AuditEntry {
	return {
		id: Number(message.id),
		time: message.time ? timestampDate(message.time) : new Date(0),
		username: message.username,
		tokenId: message.tokenId || null,
		method: message.method,
		subject: fromJsonText(message.subjectJson || "{}") as JsonObject,
		peer: message.peer,
		outcome: message.outcome || null,
	};
}
