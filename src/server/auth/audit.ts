import type { DescMessage, DescMethod, Message } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import type { ErrorLog } from "../../rpc/status.js";
import { addAuditEntry, type NewAuditEntry, setAuditOutcome } from "../db/audit-log.js";
import type { Database } from "../db/database.js";

/** Tells whether a method changes anything, so that a call of it is worth a line. */
export function isWrite({ idempotency }: DescMethod): boolean {
	return idempotency !== MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;
}

/** Keeps a line of every write that a user asks for. */
export class Audit {
	readonly #db: Database;
	readonly #log: ErrorLog;

	constructor(db: Database, log: ErrorLog) {
		this.#db = db;
		this.#log = log;
	}

	/**
	 * Returns what adds a line once it is known how something has ended that a stranger has tried: a login that a password
	 * was tried for. Whoever is refused without that writes nothing, or strangers could fill the disk.
	 */
	attempt(entry: Omit<NewAuditEntry, "outcome">): (outcome: string) => void {
		return (outcome) => {
			if (outcome === "ok" || outcome === "unauthenticated" || outcome === "permission_denied") {
				this.#db
					.write((tx) => addAuditEntry(tx, { ...entry, outcome }))
					.catch((error) => this.#log("an audit line of a login is not kept", error));
			}
		};
	}

	/**
	 * Adds a line, before what it tells of is done: nothing is done without its line, whatever dies. Returns what notes
	 * how it ended.
	 */
	async begin(entry: Omit<NewAuditEntry, "outcome">): Promise<(outcome: string) => void> {
		const id = await this.#db.write((tx) => addAuditEntry(tx, { ...entry, outcome: "" }));
		return (outcome) => {
			// Nobody waits for it: a line without its outcome tells as much as a server that died.
			this.#db
				.write((tx) => setAuditOutcome(tx, id, outcome))
				.catch((error) => this.#log("the outcome of an audit line is not kept", error));
		};
	}
}

/** The fields that say what a request is about. Others may hold a secret, or a text of any length. */
const telling = new Set([
	...["trial_id", "trial_run_id", "experiment_id", "checkpoint_uuid", "checkpoint_uuids", "model", "version"],
	...["model_version", "name", "globs", "user_id", "username", "token_id", "admin", "active", "remote"],
	...["member", "rank", "join", "state", "path", "file"],
]);

/** How much of a list is told, and of a text. */
const mostItems = 20;
const mostCharacters = 200;

/** Returns what a request is about, as a JSON object of its ids and names. */
export function subjectOf(schema: DescMessage, request: Message): string {
	return JSON.stringify(told(schema, request));
}

function told(schema: DescMessage, message: Message): Record<string, unknown> {
	const subject: Record<string, unknown> = {};
	for (const member of schema.members) {
		const holder = member.kind === "oneof" ? Reflect.get(message, member.localName) : undefined;
		const field = member.kind === "oneof" ? member.fields.find(({ localName }) => localName === holder?.case) : member;
		if (field === undefined || !telling.has(field.name)) {
			continue;
		}
		const value: unknown = member.kind === "oneof" ? holder.value : Reflect.get(message, field.localName);
		const shown =
			field.fieldKind === "message" && value !== undefined ? told(field.message, value as Message) : plain(value);
		if (shown !== undefined) {
			subject[field.name] = shown;
		}
	}
	return subject;
}

/** A value as JSON has it; undefined for one that says nothing. */
function plain(value: unknown): unknown {
	if (Array.isArray(value)) {
		return value.length === 0 ? undefined : value.slice(0, mostItems).map(plain);
	}
	switch (typeof value) {
		case "string":
			return value === "" ? undefined : value.slice(0, mostCharacters);
		case "bigint":
			return String(value);
		case "number":
			return value === 0 ? undefined : value;
		case "boolean":
			return value;
		default:
			return undefined;
	}
}
